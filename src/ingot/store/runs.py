"""Runs in the database: open, claim, lease, journal, park, finish.

What a crash means, verb by verb: before ``open_run`` commits nothing was asked; after it, a claim will find the
run. Between ``append(started)`` and ``append(succeeded)`` the step was cut and its resume rule decides. ``park``
and ``finish`` are one unit each: either all of it is on disk or the lease expires and another claim repeats it.
May not: decide what a step does. Invariant: every write names the generation it holds; an old one is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Row,
    Text,
    Update,
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    update,
)

from ingot.domain import errors, runs
from ingot.store import retention, rows, units
from ingot.store.schema import nodes, run_events
from ingot.store.schema import runs as table

FAR = 1e12
"""A time that never comes (epoch seconds): the wake time of a run that is being worked on."""

_SLOT_AT = 35
"""Where in a node's uuid its slot begins (domain/hashring.py), counted from 1."""
_TOGETHER = 500
"""Rows that one statement names."""
_FREE: dict[str, Any] = {"owner": None, "lease_until": 0.0}
_OF_THE_DEAD = -1.0  # the lease of a run that nobody has because its owner is gone; 0 where it was given back
# Statements of every run are made once: putting one together takes longer than SQLite needs to run it.
_OF_LEASE = (table.c.id == bindparam("of_run"), table.c.generation == bindparam("of_generation"))
_HELD = update(table).where(*_OF_LEASE, table.c.status == runs.Status.OPEN)
_WAITED = bindparam("claimed_at", type_=Float) - table.c.started_at
# A run's time begins when it is first taken up: of ten thousand asked for at once the last must not be late already.
_CLAIM = _HELD.values(deadline=table.c.deadline + case((table.c.generation == 0, _WAITED), else_=0.0))
_BY_ID = select(table).where(table.c.id == bindparam("of_run"))
_AMONG = select(table).where(table.c.id.in_(bindparam("of_runs", expanding=True)))
_OPEN = select(table).where(table.c.open_node == bindparam("of_node"))
_OPEN_RUN = insert(table)
_HOLD_NODE = update(nodes).where(nodes.c.uuid == bindparam("of_node"))
_CHANGE_OPEN = update(table).where(table.c.open_node == bindparam("of_node"))


class Lease(msgspec.Struct, frozen=True):
    """The right to work on a run: only the latest generation may write."""

    run_id: str
    node_uuid: str
    owner: str
    generation: int
    inherited: bool = False
    """Who had it before did not give it back: it died, or was held up for too long."""


class Share(msgspec.Struct, frozen=True):
    """The runs that a conductor claims: of nodes of its group and drivers, first those in its slots (None: in any).

    Others' runs it takes when nobody has for the length of a lease. ``held``: what it works on already.
    """

    group: str
    drivers: tuple[str, ...]
    slots: tuple[str, ...] | None = None
    held: frozenset[str] = frozenset()
    begun: bool = False
    """None but those that somebody has taken up before."""


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


def get(connection: Connection, run_id: str) -> runs.Run:
    """The run with this id. Raises NotFound."""
    row = connection.execute(_BY_ID, {"of_run": run_id}).first()
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


def claim(
    connection: Connection, owner: str, now: float, lease: float, limit: int, share: Share | None = None
) -> list[Lease]:
    """Take up to ``limit`` open runs that are due and that nobody holds; start, retry and takeover alike.

    ``share``: whose runs are taken, None for all.
    """
    columns = (table.c.id, table.c.node_uuid, table.c.generation, table.c.lease_until)
    due = select(*columns).where(*_claimable(share), _due(lease, share) <= now)
    found = list(connection.execute(due.where(table.c.wake_at <= now).order_by(table.c.wake_at).limit(limit)))
    if len(found) < limit:
        found += connection.execute(due.where(table.c.wake_at >= FAR).limit(limit - len(found)))
    taken: list[Lease] = []
    for row in found:
        if share is not None and row.id in share.held:
            continue  # this process was held up for longer than its lease, and goes on
        # wake_at = FAR while held: a wake that comes meanwhile shows, and park() keeps it.
        values = {
            "owner": owner,
            "generation": row.generation + 1,
            "lease_until": now + lease,
            "wake_at": FAR,
            "claimed_at": now,
        }
        seen = {"of_run": row.id, "of_generation": row.generation}
        if connection.execute(_CLAIM, {**values, **seen}).rowcount == 1:
            taken.append(Lease(row.id, row.node_uuid, owner, row.generation + 1, row.lease_until != 0.0))
            connection.execute(_HOLD_NODE, {"of_node": row.node_uuid, "reservation": _host(owner)})
    return taken


def next_wake(connection: Connection, lease: float = 0.0, share: Share | None = None) -> float | None:
    """When the next open run is due or its lease ends; None when there is none."""
    parked = select(func.min(_due(lease, share))).where(*_claimable(share), table.c.owner.is_(None))
    if share is None or share.slots is None:
        # Without others there is an order that the index has: this is asked at each ring, and thousands may be parked.
        parked = select(table.c.wake_at).where(*_claimable(share), table.c.owner.is_(None))
        parked = parked.order_by(table.c.wake_at).limit(1)
    held = select(func.min(_due(lease, share))).where(*_claimable(share), table.c.wake_at >= FAR)
    times = [connection.execute(each).scalar() for each in (parked, held)]
    return min((time for time in times if time is not None), default=None)


def _due(lease: float, share: Share | None) -> ColumnElement[float]:
    """When a run may be claimed: those outside of the slots a lease later, should their own conductor not come."""
    due: ColumnElement[float] = case((table.c.owner.is_(None), table.c.wake_at), else_=table.c.lease_until)
    if share is None or share.slots is None:
        return due
    slot = func.substr(table.c.node_uuid, _SLOT_AT)
    return due + case((slot.in_(share.slots), 0.0), else_=lease) if share.slots else due + lease


def _claimable(share: Share | None) -> list[ColumnElement[bool]]:
    """Open runs only, of the share's group and drivers."""
    found: list[ColumnElement[bool]] = [table.c.status == runs.Status.OPEN]
    if share is not None:
        mine = and_(func.lower(nodes.c.conductor_group) == share.group.lower(), nodes.c.driver.in_(share.drivers))
        # Not a join: PostgreSQL would read all nodes for it, and those of new tables for each run.
        node = select(mine).where(nodes.c.uuid == table.c.node_uuid).correlate(table)
        found += [node.scalar_subquery()]
        found += [table.c.generation > 0] if share.begun else []
    return found


def renew(connection: Connection, leases: list[Lease], until: float) -> list[Lease]:
    """Extend these leases; those among them that are another's now, or whose run is gone.

    A run that ended or was parked a moment ago is no such: its worker knows.
    """
    lost: list[Lease] = []
    for first in range(0, len(leases), _TOGETHER):
        part = leases[first : first + _TOGETHER]
        named = select(table.c.id, table.c.generation).where(table.c.id.in_([lease.run_id for lease in part]))
        present = {row.id: row.generation for row in connection.execute(named)}
        kept = [lease.run_id for lease in part if present.get(lease.run_id) == lease.generation]
        lost += [lease for lease in part if present.get(lease.run_id) != lease.generation]
        held = update(table).where(table.c.id.in_(kept), table.c.owner.is_not(None))
        connection.execute(held.values(lease_until=until))
    return lost


def release_all(connection: Connection, owner: str) -> int:
    """Free what a process that is gone for sure still holds, so that it can be claimed at once; how many runs.

    The generation grows: should the process be alive after all, its writes are refused from now on.
    """
    held = select(table.c.node_uuid).where(table.c.status == runs.Status.OPEN, table.c.owner == owner)
    connection.execute(update(nodes).where(nodes.c.uuid.in_(held)).values(reservation=None))
    mine = update(table).where(table.c.status == runs.Status.OPEN, table.c.owner == owner)
    values = {"owner": None, "lease_until": _OF_THE_DEAD, "wake_at": 0.0, "generation": table.c.generation + 1}
    return connection.execute(mine.values(values)).rowcount


def wake(connection: Connection, node_uuid: str, now: float) -> bool:
    """Make the node's open run due now (a heartbeat came, an abort was asked); whether there is one."""
    return connection.execute(_CHANGE_OPEN, {"wake_at": now, "of_node": node_uuid}).rowcount == 1


def request_abort(connection: Connection, node_uuid: str, reason: str, now: float) -> bool:
    """Ask the node's open run to stop at its next safe point; whether there is one."""
    values = {"abort_requested": True, "reason": reason, "wake_at": now}
    return connection.execute(_CHANGE_OPEN, {**values, "of_node": node_uuid}).rowcount == 1


_ABORT = select(table.c.abort_requested, table.c.reason).where(*_OF_LEASE)
_APPEND = insert(run_events)
_JOURNAL = select(run_events).where(run_events.c.run_id == bindparam("of_run")).order_by(run_events.c.seq)
_JOURNALS = (
    select(run_events)
    .where(run_events.c.run_id.in_(bindparam("of_runs", expanding=True)))
    .order_by(run_events.c.run_id, run_events.c.seq)
)


def _named(lease: Lease) -> dict[str, Any]:
    return {"of_run": lease.run_id, "of_generation": lease.generation}


def change(connection: Connection, lease: Lease, /, **values: Any) -> None:
    """Set columns of a held run. Raises errors.LostLease when another conductor has it."""
    _change(connection, _HELD, lease, rows.encode(values))


def _change(connection: Connection, statement: Update, lease: Lease, values: dict[str, Any]) -> None:
    if connection.execute(statement, {**values, **_named(lease)}).rowcount != 1:
        raise errors.LostLease()


def check(connection: Connection, lease: Lease) -> tuple[bool, str | None]:
    """Whether somebody asked the run to stop, and in which words (not the whole row: a plan may be large).

    Raises errors.LostLease unless ``lease`` is still the right to work on the run.
    """
    row = connection.execute(_ABORT, _named(lease)).first()
    if row is None:
        raise errors.LostLease()
    return bool(row.abort_requested), row.reason


def append(connection: Connection, lease: Lease, *entries: runs.Entry) -> None:
    """Write journal lines. Raises errors.LostLease when another conductor has the run."""
    check(connection, lease)
    add_lines(connection, lease, entries)


def add_lines(connection: Connection, lease: Lease, entries: Sequence[runs.Entry]) -> None:
    """``append`` in a unit that has asked for the lease already."""
    run = {"run_id": lease.run_id}
    lines = [
        {**run, "seq": each.seq, "step": each.step, "event": each.mark, "detail": each.detail, "at": each.at}
        for each in entries
    ]
    if lines:
        connection.execute(_APPEND, lines if len(lines) > 1 else lines[0])


def journals(connection: Connection, run_ids: list[str]) -> dict[str, list[runs.Entry]]:
    """The journal of each of these runs, in order; those without a line are absent."""
    found: dict[str, list[runs.Entry]] = {}
    for row in connection.execute(_JOURNALS, {"of_runs": run_ids}):
        found.setdefault(row.run_id, []).append(_entry(row))
    return found


def journal(connection: Connection, run_id: str) -> list[runs.Entry]:
    """The journal of a run in order."""
    return [_entry(row) for row in connection.execute(_JOURNAL, {"of_run": run_id})]


def _entry(row: Row[Any]) -> runs.Entry:
    return runs.Entry(row.seq, row.step, runs.Mark(row.event), row.at, row.detail)


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
    connection.execute(_HOLD_NODE, {"of_node": lease.node_uuid, "reservation": None})


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
    connection.execute(_HOLD_NODE, {"of_node": lease.node_uuid, "reservation": None})


def finish(connection: Connection, lease: Lease, status: runs.Status, reason: str | None, now: float) -> None:
    """Close the run, and drop the node's oldest.

    The node is free as soon as the caller clears its ``reservation``, in the same unit.
    """
    change(connection, lease, **_closed(status, reason, now), **_FREE, open_node=None)
    retention.drop_runs(connection, lease.node_uuid)


def _closed(status: runs.Status, reason: str | None, now: float) -> dict[str, Any]:
    """The columns of a run that has ended. What was asked (a config drive, say) is nobody's business any more."""
    ended: dict[str, Any] = {"status": status, "reason": reason, "finished_at": now}
    return {**ended, "wait": None, "progress": None, "params": {}}


def _host(owner: str) -> str:
    """The hostname in an owner text ``hostname/boot id``."""
    return owner.rsplit("/", 1)[0]
