"""Claims of runs: who works on which run, for how long, and what becomes of it when that one is gone.

May not: decide what a run does. Invariant: one holder at a time. Claims are written by whoever may write alone
(docs/decisions/0021), so what a claim has read is so until it is on disk.
"""

from __future__ import annotations

import functools
from typing import Any, cast

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from ingot.domain import runs
from ingot.store.runs import FAR, RESERVE, Lease
from ingot.store.schema import nodes
from ingot.store.schema import runs as table

_SLOT_AT = 35
"""Where in a node's uuid its slot begins (domain/hashring.py), counted from 1."""
_TOGETHER = 500
"""Rows that one statement names."""
_OF_THE_DEAD, _LEFT = -1.0, -2.0
"""Leases of runs that nobody has because their owner is gone, or left in the middle; 0 where it gave them back."""
_AT_ONCE = 0.0
"""When such a run is due: before all that anybody asks for."""


class Share(msgspec.Struct, frozen=True):
    """The runs that a conductor claims: of nodes of its group and drivers, first those in its slots (None: in any).

    Others' runs it takes when nobody has for the length of a lease. ``held``: what it works on already.
    """

    group: str
    drivers: tuple[str, ...]
    slots: tuple[str, ...] | None = None
    held: frozenset[str] = frozenset()
    begun: bool = False
    """None but those that somebody has taken up before, and those that another run asked for and may wait for."""
    left: bool = False
    """None but those that ``release_all`` has freed."""


_NOW = bindparam("now", type_=Float)
_MOST = bindparam("most", type_=Integer)
_BY_ID = update(table).where(table.c.id == bindparam("of_run"))
# A run's time begins when it is first taken up: of ten thousand asked for at once the last must not be late already.
_WAITED = bindparam("claimed_at", type_=Float) - table.c.started_at
_CLAIM = _BY_ID.values(deadline=table.c.deadline + case((table.c.generation == 0, _WAITED), else_=0.0))


def claim(
    connection: Connection, owner: str, now: float, lease: float, limit: int, share: Share | None = None
) -> list[Lease]:
    """Take up to ``limit`` open runs that are due and that nobody holds; start, retry and takeover alike.

    ``share``: whose runs are taken, None for all.
    """
    due, expired = _claims(lease, _kind(share))
    found = connection.execute(due, {"now": now, "most": limit}).all()
    if len(found) < limit:
        found = [*found, *connection.execute(expired, {"now": now, "most": limit - len(found)})]
    held = frozenset[str]() if share is None else share.held
    # One that is held already: this process was held up for longer than its lease, and goes on.
    free = [row for row in found if row.id not in held]
    if not free:
        return []
    # wake_at = FAR while held: a wake that comes meanwhile shows, and park() keeps it.
    common = {"owner": owner, "lease_until": now + lease, "wake_at": FAR, "claimed_at": now}
    connection.execute(_CLAIM, [{**common, "generation": row.generation + 1, "of_run": row.id} for row in free])
    host = owner.rsplit("/", 1)[0]
    if others := [row.node_uuid for row in free if row.reservation != host]:  # who asked for the run locked it
        connection.execute(RESERVE, [{"of_node": uuid, "reservation": host} for uuid in others])
    return [
        Lease(row.id, row.node_uuid, owner, row.generation + 1, row.lease_until != 0.0, row.lease_until != _LEFT)
        for row in free
    ]


def next_wake(connection: Connection, lease: float = 0.0, share: Share | None = None) -> float | None:
    """When the next open run is due or its lease ends; None when there is none."""
    times = [connection.execute(each).scalar() for each in _wakes(lease, _kind(share))]
    return min((time for time in times if time is not None), default=None)


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


def release_all(connection: Connection, owner: str, *, died: bool = True) -> int:
    """Free what a process that is gone for sure still holds, so that it can be claimed at once; how many runs.

    The generation grows: should the process be alive after all, its writes are refused from now on. ``died``: False
    where it says goodbye itself.
    """
    held = select(table.c.node_uuid).where(table.c.status == runs.Status.OPEN, table.c.owner == owner)
    connection.execute(update(nodes).where(nodes.c.uuid.in_(held)).values(reservation=None))
    mine = update(table).where(table.c.status == runs.Status.OPEN, table.c.owner == owner)
    free: dict[str, Any] = {"owner": None, "lease_until": _OF_THE_DEAD if died else _LEFT, "wake_at": _AT_ONCE}
    return connection.execute(mine.values({**free, "generation": table.c.generation + 1})).rowcount


def list_holders(connection: Connection, now: float) -> list[str]:
    """The hostnames of those who hold open runs by leases that go on."""
    held = select(table.c.owner).where(table.c.status == runs.Status.OPEN, table.c.lease_until > now)
    owners = connection.execute(held.where(table.c.owner.is_not(None)).distinct()).scalars()
    return sorted({owner.rsplit("/", 1)[0] for owner in owners})


def take_all(connection: Connection, owner: str) -> list[Lease]:
    """Take every open run, due or not and whoever holds it: what its holder writes is refused from now on."""
    still_open = table.c.status == runs.Status.OPEN
    taken = update(table).where(still_open).values(owner=owner, generation=table.c.generation + 1)
    connection.execute(taken)
    found = connection.execute(select(table.c.id, table.c.node_uuid, table.c.generation).where(still_open))
    return [Lease(row.id, row.node_uuid, owner, row.generation) for row in found]


# --- What is due, put together once for each kind of share: that takes longer than to run it ---


def _kind(share: Share | None) -> Share | None:
    """A share without what changes from claim to claim."""
    return share if share is None or not share.held else msgspec.structs.replace(share, held=frozenset())


@functools.lru_cache(64)
def _claims(lease: float, share: Share | None) -> tuple[Select[Any], Select[Any]]:
    """The runs that are due, the longest first; and those whose owner let the lease run out."""
    locked = select(nodes.c.reservation).where(nodes.c.uuid == table.c.node_uuid).scalar_subquery()
    columns = (table.c.id, table.c.node_uuid, table.c.generation, table.c.lease_until, locked.label("reservation"))
    due = cast("Select[Any]", select(*columns)).where(*_claimable(share), _due(lease, share) <= _NOW).limit(_MOST)
    return due.where(table.c.wake_at <= _NOW).order_by(table.c.wake_at), due.where(table.c.wake_at >= FAR)


@functools.lru_cache(64)
def _wakes(lease: float, share: Share | None) -> tuple[Select[Any], Select[Any]]:
    parked = select(func.min(_due(lease, share))).where(*_claimable(share), table.c.owner.is_(None))
    if share is None or share.slots is None:
        # Without others there is an order that the index has: this is asked at each ring, and thousands may be parked.
        parked = select(table.c.wake_at).where(*_claimable(share), table.c.owner.is_(None))
        parked = parked.order_by(table.c.wake_at).limit(1)
    held = select(func.min(_due(lease, share))).where(*_claimable(share), table.c.wake_at >= FAR)
    return parked, held


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
        if share.begun:
            # A request locks the node as it opens a run (services), a run that opens another's does not.
            mine = and_(mine, or_(table.c.generation > 0, nodes.c.reservation.is_(None)))
        found += [table.c.wake_at <= _AT_ONCE] if share.left else []
        # Not a join: PostgreSQL would read all nodes for it, and those of new tables for each run.
        found += [select(mine).where(nodes.c.uuid == table.c.node_uuid).correlate(table).scalar_subquery()]
    return found
