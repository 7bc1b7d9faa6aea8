"""Time in which no conductor lived: it is given back to the runs, whose deadlines count on as if it had not been.

Why: a host that was off over night, or whose clock was set while it restarted, must not find all its work too late.
May not: decide whether a run is too late. Invariant: nothing is changed while any conductor lives.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, select, update

from ingot.domain import runs as values
from ingot.store import rows
from ingot.store.schema import conductors, runs

SHORT = 5.0
"""What is given back is longer than this, so that a process which a run's own work kills at once finds no end of it."""


def last_seen(connection: Connection) -> float | None:
    """When a conductor was last alive (epoch seconds), as long as work is open; None when there is none, or nobody."""
    if connection.execute(select(runs.c.id).where(runs.c.status == values.Status.OPEN).limit(1)).first() is None:
        return None
    return connection.execute(select(func.max(conductors.c.seen_at))).scalar()


def give_back(connection: Connection, now: float) -> float:
    """Move the deadlines of open runs by the time in which nobody lived until ``now``; how many seconds.

    Not of those that nobody has taken up yet: their time begins then (runs.py: claim).
    """
    seen = last_seen(connection)
    away = now - seen if seen is not None else 0.0
    if away <= SHORT:
        return 0.0
    begun = select(runs.c.id, runs.c.wait).where(runs.c.status == values.Status.OPEN, runs.c.generation > 0)
    for row in connection.execute(begun).all():
        changed = {"deadline": runs.c.deadline + away, "wait": _later(row.wait, away)}
        connection.execute(update(runs).where(runs.c.id == row.id).values(changed))
    return away


def _later(stored: str | None, away: float) -> str | None:
    if stored is None:
        return None
    wait = msgspec.json.decode(stored, type=values.Wait)
    later = msgspec.structs.replace(wait, since=wait.since + away, deadline=wait.deadline + away)
    return rows.encode({"wait": later})["wait"]
