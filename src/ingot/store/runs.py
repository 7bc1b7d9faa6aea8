"""Runs in the database: open, change, park, finish; who works on them: claims.py, their lines: journals.py.

What a crash means, verb by verb: before ``open_run`` commits nothing was asked; after it, a claim will find the
run. ``park`` and ``finish`` are one unit each: either all of it is on disk or the lease expires and another claim
repeats it.
May not: decide what a step does. Invariant: every write names the generation it holds; an old one is refused.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Float,
    Text,
    Update,
    and_,
    bindparam,
    case,
    insert,
    or_,
    select,
    update,
)

from ingot.domain import errors, runs
from ingot.store import retention, rows, units
from ingot.store.lookups import Question, answers
from ingot.store.schema import nodes
from ingot.store.schema import runs as table

FAR = 1e12
"""A time that never comes (epoch seconds): the wake time of a run that is being worked on."""

_FREE: dict[str, Any] = {"owner": None, "lease_until": 0.0}
# Statements of every run are made once: putting one together takes longer than SQLite needs to run it.
OF_LEASE = (table.c.id == bindparam("of_run"), table.c.generation == bindparam("of_generation"))
"""The run that ``named(lease)`` names, if the lease still holds it."""
RESERVE = update(nodes).where(nodes.c.uuid == bindparam("of_node"))
_HELD = update(table).where(*OF_LEASE, table.c.status == runs.Status.OPEN)
_BY_ID = select(table).where(table.c.id == bindparam("of_run"))
_AMONG = select(table).where(table.c.id.in_(bindparam("of_runs", expanding=True)))
_OPEN = select(table).where(table.c.open_node == bindparam("of_node"))
_OPEN_ID = select(table.c.id).where(table.c.open_node == bindparam("of_node"))
_FAILED_ID = (
    select(table.c.id)
    .where(table.c.node_uuid == bindparam("of_node"), table.c.finished_at >= bindparam("since"))
    .where(table.c.status == runs.Status.FAILED)
    .order_by(table.c.finished_at.desc())
    .limit(1)
)
_OPEN_RUN = insert(table)
_CHANGE_OPEN = update(table).where(table.c.open_node == bindparam("of_node"))


class Lease(msgspec.Struct, frozen=True):
    """The right to work on a run: only the latest generation may write."""

    run_id: str
    node_uuid: str
    owner: str
    generation: int
    inherited: bool = False
    """Who had it before did not give it back: it died, was held up for too long, or left in the middle."""
    died: bool = False
    """It did not even say goodbye; only where ``inherited``."""


def open_run(connection: Connection, run: runs.Run) -> None:
    """Store a new open run. Raises errors.Locked when the node already has one."""
    row = rows.to_row(run, table, open_node=run.node_uuid)
    failure = units.refused(connection, _OPEN_RUN, row)
    if failure is not None:
        refuse_open(connection, run.node_uuid)
        raise errors.NotFound(f"Node {run.node_uuid} could not be found.") from failure


def refuse_open(connection: Connection, node_uuid: str) -> None:
    """Raise errors.Locked when the node has an open run."""
    present = find_open(connection, node_uuid)
    if present is not None:
        raise errors.Locked(
            f'Node {node_uuid} is locked by the run "{present.kind}", please retry after the current operation is '
            "completed."
        )


def exists(connection: Connection, run_id: str) -> bool:
    """Whether there is a run with this id."""
    return connection.execute(_BY_ID, {"of_run": run_id}).first() is not None


def _by_id(_: str, run_id: str) -> Question:
    return _BY_ID, {"of_run": run_id}


@answers(_by_id)
def get(row: Any, run_id: str) -> runs.Run:
    """The run with this id. Raises NotFound."""
    if row is None:
        raise errors.NotFound(f"Run {run_id} could not be found.")
    return rows.from_row(row, runs.Run)


def list_among(connection: Connection, ids: list[str]) -> list[runs.Run]:
    """The runs with these ids; those that are gone are absent."""
    return [rows.from_row(row, runs.Run) for row in connection.execute(_AMONG, {"of_runs": ids})]


def find_open(connection: Connection, node_uuid: str) -> runs.Run | None:
    """The node's open run, or None."""
    row = connection.execute(_OPEN, {"of_node": node_uuid}).first()
    return None if row is None else rows.from_row(row, runs.Run)


def _open_id(_: str, node_uuid: str) -> Question:
    return _OPEN_ID, {"of_node": node_uuid}


@answers(_open_id)
def find_open_id(row: Any, _node_uuid: str) -> str | None:
    """The id of the node's open run, or None: without the run, for who asks many times a second."""
    return None if row is None else row.id


def _failed_id(_: str, node_uuid: str, since: float) -> Question:
    return _FAILED_ID, {"of_node": node_uuid, "since": since}


@answers(_failed_id)
def find_failed_id(row: Any, _node_uuid: str, _since: float) -> str | None:
    """The id of the node's run that failed last, if it did so since then (epoch seconds), or None."""
    return None if row is None else row.id


def find_last(connection: Connection, node_uuid: str) -> runs.Run | None:
    """The node's newest run, open or not, or None."""
    statement = select(table).where(table.c.node_uuid == node_uuid).order_by(table.c.started_at.desc()).limit(1)
    row = connection.execute(statement).first()
    return None if row is None else rows.from_row(row, runs.Run)


def get_of_node(connection: Connection, node_uuid: str, run_id: str) -> runs.Run:
    """A run of this node. Raises NotFound, also for a run of another one."""
    row = connection.execute(select(table).where(table.c.node_uuid == node_uuid, table.c.id == run_id)).first()
    if row is None:
        raise errors.NotFound(f"Run {run_id} could not be found.")
    return rows.from_row(row, runs.Run)


def list_of_node(connection: Connection, node_uuid: str, limit: int = 20, marker: str | None = None) -> list[runs.Run]:
    """The node's runs, newest first; those after the run ``marker``. Raises NotFound for a marker of another node."""
    statement = select(table).where(table.c.node_uuid == node_uuid)
    if marker is not None:
        last = get_of_node(connection, node_uuid, marker)
        same = and_(table.c.started_at == last.started_at, table.c.id < last.id)
        statement = statement.where(or_(table.c.started_at < last.started_at, same))
    statement = statement.order_by(table.c.started_at.desc(), table.c.id.desc()).limit(limit)
    return [rows.from_row(row, runs.Run) for row in connection.execute(statement)]


def wake(connection: Connection, node_uuid: str, now: float) -> bool:
    """Make the node's open run due now (a heartbeat came, an abort was asked); whether there is one."""
    return connection.execute(_CHANGE_OPEN, {"wake_at": now, "of_node": node_uuid}).rowcount == 1


def request_abort(connection: Connection, node_uuid: str, reason: str, now: float) -> bool:
    """Ask the node's open run to stop at its next safe point; whether there is one."""
    values = {"abort_requested": True, "reason": reason, "wake_at": now}
    return connection.execute(_CHANGE_OPEN, {**values, "of_node": node_uuid}).rowcount == 1


_ABORT = select(table.c.abort_requested, table.c.reason).where(*OF_LEASE)
_UNTIL = select(table.c.lease_until).where(*OF_LEASE)


def named(lease: Lease) -> dict[str, Any]:
    """The values of ``OF_LEASE``."""
    return {"of_run": lease.run_id, "of_generation": lease.generation}


def change(connection: Connection, lease: Lease, /, **values: Any) -> None:
    """Set columns of a held run. Raises errors.LostLease when another conductor has it."""
    _change(connection, _HELD, lease, rows.encode(values))


def _change(connection: Connection, statement: Update, lease: Lease, values: dict[str, Any]) -> None:
    if connection.execute(statement, {**values, **named(lease)}).rowcount != 1:
        raise errors.LostLease()


def _abort(_: str, lease: Lease) -> Question:
    return _ABORT, named(lease)


@answers(_abort)
def check(row: Any, _lease: Lease) -> tuple[bool, str | None]:
    """Whether somebody asked the run to stop, and in which words (not the whole row: a plan may be large).

    Raises errors.LostLease unless ``lease`` is still the right to work on the run.
    """
    if row is None:
        raise errors.LostLease()
    return bool(row.abort_requested), row.reason


def held_until(connection: Connection, lease: Lease) -> float:
    """When the lease ends that is still the right to work on the run. Raises errors.LostLease."""
    row = connection.execute(_UNTIL, named(lease)).first()
    if row is None:
        raise errors.LostLease()
    return float(row.lease_until)


# Who asked for an abort is not overwritten before the run has read it.
_REASON = case((table.c.abort_requested, table.c.reason), else_=bindparam("because", type_=Text))
_AGAIN_AT = bindparam("again_at", type_=Float)
_EARLIER = case((table.c.wake_at < _AGAIN_AT, table.c.wake_at), else_=_AGAIN_AT)
_PARK = _HELD.values(reason=_REASON, wake_at=_EARLIER)
_RESUME = _HELD.values(reason=_REASON)


def park(connection: Connection, lease: Lease, wait: runs.Wait, wake_at: float) -> None:
    """Give the run back while it waits: no owner, no lease, due again at ``wake_at``.

    A wake that came while the run was held is not lost: the earlier time stays.
    """
    told = {"because": wait.told(), "again_at": wake_at}
    _change(connection, _PARK, lease, {**told, **rows.encode({"wait": wait}), **_FREE})
    connection.execute(RESERVE, {"of_node": lease.node_uuid, "reservation": None})


def resume(connection: Connection, lease: Lease) -> None:
    """Note that what the run waited for has come."""
    _change(connection, _RESUME, lease, {"because": None, "wait": None, "progress": None})


def release_hold(connection: Connection, node_uuid: str, now: float) -> bool:
    """Make a held run due; the time it was held is added to its deadline. False when none is held."""
    run = find_open(connection, node_uuid)
    if run is None or run.wait is None or not run.wait.held:
        return False
    held = {"deadline": run.deadline + now - run.wait.since, "memo": runs.settled(run.memo, now)}
    connection.execute(update(table).where(table.c.id == run.id).values(wake_at=now, **rows.encode(held)))
    return True


def supersede(connection: Connection, node_uuid: str, reason: str, now: float) -> bool:
    """Close the node's open run because another one takes its place; False when a conductor is at work on it."""
    waiting = update(table).where(table.c.open_node == node_uuid, table.c.owner.is_(None))
    closed: dict[str, Any] = {**_closed(runs.Status.ABORTED, reason, now), "params": "{}"}
    values = {**closed, "open_node": None, "generation": table.c.generation + 1}
    return connection.execute(waiting.values(values)).rowcount == 1


def release(connection: Connection, lease: Lease, memo: dict[str, Any], wake_at: float) -> None:
    """Give the run back untouched, to be tried again at ``wake_at`` and not before."""
    change(connection, lease, memo=memo, wake_at=wake_at, **_FREE)
    connection.execute(RESERVE, {"of_node": lease.node_uuid, "reservation": None})


def finish(connection: Connection, lease: Lease, status: runs.Status, reason: str | None, now: float) -> None:
    """Close the run.

    The node is free as soon as the caller clears its ``reservation``, in the same unit.
    """
    change(connection, lease, **_closed(status, reason, now), **_FREE, open_node=None)
    if retention.is_time(lease.run_id):
        retention.drop_runs(connection, lease.node_uuid)


def _closed(status: runs.Status, reason: str | None, now: float) -> dict[str, Any]:
    """The columns of a run that has ended. What was asked (a config drive, say) is nobody's business any more."""
    ended: dict[str, Any] = {"status": status, "reason": reason, "finished_at": now}
    return {**ended, "wait": None, "progress": None, "params": {}}
