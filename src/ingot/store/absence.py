"""Time in which no conductor lived: it is given back to the runs, whose deadlines count on as if it had not been.

Why: a host that was off over night, or whose clock was set while it restarted, must not find all its work too late.
May not: decide whether a run is too late. Invariant: nothing is changed while any conductor lives. What a run that was
being worked on lost is reckoned when it is taken up (``flows/deaths.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, func, select, update

from ingot.domain import runs as values
from ingot.domain import typed
from ingot.store import conductors as members
from ingot.store import rows
from ingot.store import runs as run_store
from ingot.store.schema import conductors, runs

_GIVE = (
    update(runs)
    .where(runs.c.id == bindparam("of_run"), runs.c.generation == bindparam("of_generation"))
    .values(deadline=runs.c.deadline + bindparam("more"))
)
_MOVE = update(runs).where(runs.c.id == bindparam("of_run"))


def last_seen(connection: Connection) -> float | None:
    """When a conductor was last alive (epoch seconds), as long as work is open; None when there is none, or nobody."""
    if connection.execute(select(runs.c.id).where(runs.c.status == values.Status.OPEN).limit(1)).first() is None:
        return None
    return connection.execute(select(func.max(conductors.c.seen_at))).scalar()


def give_back(connection: Connection, now: float, hostname: str, silence: float) -> float:
    """Move the deadlines of waiting runs by the time in which nobody lived until ``now``; how many seconds.

    The process that had this ``hostname`` is gone; others live unless they were silent for ``silence`` seconds. Not of
    runs that nobody has taken up yet: their time begins then (runs.py: claim).
    """
    seen = last_seen(connection)
    if seen is None or set(members.list_seen(connection, now - silence)) - {hostname}:
        return 0.0
    away = max(0.0, now - seen)
    begun = select(runs.c.id, runs.c.deadline, runs.c.wait, runs.c.memo).where(
        runs.c.status == values.Status.OPEN, runs.c.generation > 0, runs.c.owner.is_(None), runs.c.lease_until == 0.0
    )
    moved = [
        {
            "of_run": row.id,
            "deadline": row.deadline + away,
            "wait": _later(row.wait, away),
            **rows.encode({"memo": values.settled(msgspec.json.decode(row.memo), now)}),
        }
        for row in connection.execute(begun)
    ]
    if moved and away:
        connection.execute(_MOVE, moved)
    return away


class Gift(NamedTuple):
    """What a held run is given: ``seconds`` more until its deadline, what it waits for and its memo."""

    lease: run_store.Lease
    seconds: float
    wait: values.Wait | None
    memo: dict[str, Any]


def give(connection: Connection, gifts: Sequence[Gift]) -> set[run_store.Lease]:
    """Give each its own; those whose run another conductor has, which get nothing."""
    lost: set[run_store.Lease] = set()
    for one in gifts:
        changed = {"more": one.seconds, **rows.encode({"wait": one.wait, "memo": one.memo})}
        named = {"of_run": one.lease.run_id, "of_generation": one.lease.generation}
        if connection.execute(_GIVE, {**changed, **named}).rowcount != 1:
            lost.add(one.lease)
    return lost


def _later(stored: str | None, away: float) -> str | None:
    if stored is None:
        return None
    wait = typed.decode(stored, values.Wait)
    later = msgspec.structs.replace(wait, since=wait.since + away, deadline=wait.deadline + away)
    return rows.encode({"wait": later})["wait"]
