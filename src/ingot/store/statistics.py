"""Numbers about the whole fleet, for metrics: each is one grouped query over an index. May not: change anything."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, select

from ingot.domain import runs as domain
from ingot.store import webhooks
from ingot.store.schema import nodes, runs


class Numbers(msgspec.Struct, frozen=True):
    """``nodes`` by provision state, ``maintenance``: nodes in it, ``runs``: open ones by kind and what they do.

    ``overdue``: seconds that the run which is due longest waits for a conductor; ``webhook_lag``: events.
    """

    nodes: dict[str, int]
    maintenance: int
    runs: dict[tuple[str, str], int]
    overdue: float
    webhook_lag: int


def read(connection: Connection, now: float) -> Numbers:
    """The numbers of this moment."""
    by_state = select(nodes.c.provision_state, func.count()).group_by(nodes.c.provision_state)
    maintained = select(func.count()).where(nodes.c.maintenance)
    is_open = runs.c.status == domain.Status.OPEN
    held = runs.c.owner.is_not(None)
    by_kind = select(runs.c.kind, held, func.count()).where(is_open).group_by(runs.c.kind, held)
    due = select(func.min(runs.c.wake_at)).where(is_open, runs.c.owner.is_(None), runs.c.wake_at > 0)
    longest = connection.execute(due).scalar()
    return Numbers(
        nodes={row.provision_state: row[1] for row in connection.execute(by_state)},
        maintenance=connection.execute(maintained).scalar_one(),
        runs={(kind, "working" if busy else "waiting"): number for kind, busy, number in connection.execute(by_kind)},
        overdue=max(0.0, now - longest) if longest is not None else 0.0,
        webhook_lag=webhooks.lag(connection),
    )
