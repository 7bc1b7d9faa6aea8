"""Runs in the database: open, claim, lease, journal, park, finish.

What a crash means, verb by verb: before ``open_run`` commits nothing was asked; after it, a claim will find the
run. Between ``append(started)`` and ``append(succeeded)`` the step was cut and its resume rule decides. ``park``
and ``finish`` are one unit each: either all of it is on disk or the lease expires and another claim repeats it.
May not: decide what a step does. Invariant: every write names the generation it holds; an old one is refused.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, or_, select, update

from ingot.domain import errors, ids, power, runs
from ingot.store import rows, units
from ingot.store.schema import nodes, run_events
from ingot.store.schema import runs as table

FAR = 1e12
"""A time that never comes (epoch seconds): the wake time of a run that is being worked on."""


_POWER_DEADLINE = 900.0
_SLOT_AT = 35
"""Where in a node's uuid its slot begins (domain/hashring.py), counted from 1."""
_TOGETHER = 500
"""Rows that one statement names."""
_FREE: dict[str, Any] = {"owner": None, "lease_until": 0.0}


class Lease(msgspec.Struct, frozen=True):
    """The right to work on a run: only the latest generation may write."""

    run_id: str
    node_uuid: str
    owner: str
    generation: int


class Share(msgspec.Struct, frozen=True):
    """The runs that a conductor claims: of nodes of its group and drivers, first those in its slots (None: in any).

    Others' runs it takes when nobody has for the length of a lease. ``held``: what it works on already.
    """

    group: str
    drivers: tuple[str, ...]
    slots: tuple[str, ...] | None = None
    held: frozenset[str] = frozenset()


def open_run(connection: Connection, run: runs.Run) -> None:
    """Store a new open run. Raises errors.Locked when the node already has one."""
    row = rows.to_row(run, table, open_node=run.node_uuid)
    failure = units.refused(connection, insert(table), row)
    if failure is not None:
        refuse_open(connection, run.node_uuid)
        raise errors.NotFound(f"Node {run.node_uuid} could not be found.") from failure


def open_power(
    connection: Connection,
    node_uuid: str,
    target: power.Target,
    timeout: float | None,
    now: float,
    host: str | None = None,
) -> None:
    """Store a run that changes a node's power, and show where it is going. Raises errors.Locked.

    ``host``: in whose name the node is locked until a conductor takes it up; None while another run still holds it.
    """
    params = {"target": target.value, "timeout": timeout}
    run = runs.Run(
        id=ids.new(),
        node_uuid=node_uuid,
        kind=runs.Kind.POWER,
        params=params,
        wake_at=now,
        started_at=now,
        deadline=now + _POWER_DEADLINE,
    )
    open_run(connection, run)
    going = {"target_power_state": target.result().value, "last_error": None, "updated_at": rows.now()}
    if host is not None:
        going["reservation"] = host
    connection.execute(update(nodes).where(nodes.c.uuid == node_uuid).values(going))


def refuse_open(connection: Connection, node_uuid: str) -> None:
    """Raise errors.Locked when the node has an open run."""
    present = find_open(connection, node_uuid)
    if present is not None:
        raise errors.Locked(
            f'Node {node_uuid} is locked by the run "{present.kind}", please retry after the current operation is '
            "completed."
        )


def get(connection: Connection, run_id: str) -> runs.Run:
    """The run with this id. Raises NotFound."""
    row = connection.execute(select(table).where(table.c.id == run_id)).first()
    if row is None:
        raise errors.NotFound(f"Run {run_id} could not be found.")
    return rows.from_row(row, runs.Run)


def find_open(connection: Connection, node_uuid: str) -> runs.Run | None:
    """The node's open run, or None."""
    row = connection.execute(select(table).where(table.c.open_node == node_uuid)).first()
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
    due = _due(lease, share)
    statement = select(table.c.id, table.c.node_uuid, table.c.generation).where(*_claimable(share), due <= now)
    taken: list[Lease] = []
    for row in connection.execute(statement.order_by(table.c.wake_at).limit(limit)).all():
        if share is not None and row.id in share.held:
            continue  # this process was held up for longer than its lease, and goes on
        # wake_at = FAR while held: a wake that comes meanwhile shows, and park() keeps it.
        values = {
            "owner": owner,
            "generation": row.generation + 1,
            "lease_until": now + lease,
            "wake_at": FAR,
        }
        free = (table.c.generation == row.generation, table.c.status == runs.Status.OPEN)
        mine = update(table).where(table.c.id == row.id, *free)
        if connection.execute(mine.values(values)).rowcount == 1:
            taken.append(Lease(row.id, row.node_uuid, owner, row.generation + 1))
            connection.execute(update(nodes).where(nodes.c.uuid == row.node_uuid).values(reservation=_host(owner)))
    return taken


def next_wake(connection: Connection, lease: float = 0.0, share: Share | None = None) -> float | None:
    """When the next open run is due or its lease ends; None when there is none."""
    statement = select(func.min(_due(lease, share))).where(*_claimable(share))
    return connection.execute(statement).scalar()


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
        its_group = func.lower(nodes.c.conductor_group) == share.group.lower()
        found += [nodes.c.uuid == table.c.node_uuid, its_group, nodes.c.driver.in_(share.drivers)]
    return found


def renew(connection: Connection, leases: list[Lease], until: float) -> list[Lease]:
    """Extend these leases; those among them that are held no more (run ended, parked, or taken by another)."""
    lost: list[Lease] = []
    by_owner: dict[str, list[Lease]] = {}
    for lease in leases:
        by_owner.setdefault(lease.owner, []).append(lease)
    for owner, its in by_owner.items():
        held = select(table.c.id, table.c.generation).where(table.c.status == runs.Status.OPEN, table.c.owner == owner)
        present = {(row.id, row.generation) for row in connection.execute(held)}
        kept = [lease for lease in its if (lease.run_id, lease.generation) in present]
        lost += [lease for lease in its if (lease.run_id, lease.generation) not in present]
        for first in range(0, len(kept), _TOGETHER):
            ids = [lease.run_id for lease in kept[first : first + _TOGETHER]]
            mine = update(table).where(table.c.id.in_(ids), table.c.owner == owner)
            connection.execute(mine.values(lease_until=until))
    return lost


def release_all(connection: Connection, owner: str) -> int:
    """Free what a process that is gone for sure still holds, so that it can be claimed at once; how many runs.

    The generation grows: should the process be alive after all, its writes are refused from now on.
    """
    held = select(table.c.node_uuid).where(table.c.status == runs.Status.OPEN, table.c.owner == owner)
    connection.execute(update(nodes).where(nodes.c.uuid.in_(held)).values(reservation=None))
    mine = update(table).where(table.c.status == runs.Status.OPEN, table.c.owner == owner)
    values = {"owner": None, "lease_until": 0.0, "wake_at": 0.0, "generation": table.c.generation + 1}
    return connection.execute(mine.values(values)).rowcount


def wake(connection: Connection, node_uuid: str, now: float) -> bool:
    """Make the node's open run due now (a heartbeat came, an abort was asked); whether there is one."""
    mine = update(table).where(table.c.open_node == node_uuid)
    return connection.execute(mine.values(wake_at=now)).rowcount == 1


def request_abort(connection: Connection, node_uuid: str, reason: str, now: float) -> bool:
    """Ask the node's open run to stop at its next safe point; whether there is one."""
    mine = update(table).where(table.c.open_node == node_uuid)
    values = {"abort_requested": True, "reason": reason, "wake_at": now}
    return connection.execute(mine.values(values)).rowcount == 1


def change(connection: Connection, lease: Lease, /, **values: Any) -> None:
    """Set columns of a held run. Raises errors.LostLease when another conductor has it."""
    held = update(table).where(
        table.c.id == lease.run_id, table.c.generation == lease.generation, table.c.status == runs.Status.OPEN
    )
    if connection.execute(held.values(rows.encode(values))).rowcount != 1:
        raise errors.LostLease()


def check(connection: Connection, lease: Lease) -> None:
    """Raise errors.LostLease unless ``lease`` is still the right to work on the run."""
    held = select(table.c.id).where(table.c.id == lease.run_id, table.c.generation == lease.generation)
    if connection.execute(held).first() is None:
        raise errors.LostLease()


def append(connection: Connection, lease: Lease, entry: runs.Entry) -> None:
    """Write one journal line. Raises errors.LostLease when another conductor has the run."""
    check(connection, lease)
    values = {"run_id": lease.run_id, "seq": entry.seq, "step": entry.step, "event": entry.mark}
    connection.execute(insert(run_events), {**values, "detail": entry.detail, "at": entry.at})


def journal(connection: Connection, run_id: str) -> list[runs.Entry]:
    """The journal of a run in order."""
    statement = select(run_events).where(run_events.c.run_id == run_id).order_by(run_events.c.seq)
    return [
        runs.Entry(row.seq, row.step, runs.Mark(row.event), row.at, row.detail) for row in connection.execute(statement)
    ]


def park(connection: Connection, lease: Lease, wait: runs.Wait, wake_at: float) -> None:
    """Give the run back while it waits: no owner, no lease, due again at ``wake_at``.

    A wake that came while the run was held is not lost: the earlier time stays.
    """
    earlier = case((table.c.wake_at < wake_at, table.c.wake_at), else_=wake_at)
    change(connection, lease, wait=wait, reason=_unless_aborted(wait.told()), wake_at=earlier, **_FREE)
    connection.execute(update(nodes).where(nodes.c.uuid == lease.node_uuid).values(reservation=None))


def resume(connection: Connection, lease: Lease) -> None:
    """Note that what the run waited for has come."""
    change(connection, lease, wait=None, reason=_unless_aborted(None), progress=None)


def get_abort(connection: Connection, run_id: str) -> tuple[bool, str | None]:
    """Whether somebody asked the run to stop, and in which words. (Not the whole row: a plan may be large.)"""
    row = connection.execute(select(table.c.abort_requested, table.c.reason).where(table.c.id == run_id)).first()
    return (bool(row.abort_requested), row.reason) if row is not None else (False, None)


def release_hold(connection: Connection, node_uuid: str, now: float) -> bool:
    """Make a held run due; the time it was held is added to its deadline. False when none is held."""
    run = find_open(connection, node_uuid)
    if run is None or run.wait is None or not run.wait.held:
        return False
    deadline = run.deadline + now - run.wait.since
    connection.execute(update(table).where(table.c.id == run.id).values(deadline=deadline, wake_at=now))
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
    connection.execute(update(nodes).where(nodes.c.uuid == lease.node_uuid).values(reservation=None))


def finish(connection: Connection, lease: Lease, status: runs.Status, reason: str | None, now: float) -> None:
    """Close the run and free the node."""
    closed = _closed(status, reason, now)
    change(connection, lease, **closed, **_FREE, open_node=None)
    connection.execute(update(nodes).where(nodes.c.uuid == lease.node_uuid).values(reservation=None))


def _closed(status: runs.Status, reason: str | None, now: float) -> dict[str, Any]:
    """The columns of a run that has ended. What was asked (a config drive, say) is nobody's business any more."""
    ended: dict[str, Any] = {"status": status, "reason": reason, "finished_at": now}
    return {**ended, "wait": None, "progress": None, "params": {}}


def _unless_aborted(reason: str | None) -> Any:
    """``reason``, except that who asked for an abort is not overwritten before the run has read it."""
    return case((table.c.abort_requested, table.c.reason), else_=reason)


def _host(owner: str) -> str:
    """The hostname in an owner text ``hostname/boot id``."""
    return owner.rsplit("/", 1)[0]
