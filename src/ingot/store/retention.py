"""How much of a node's past is kept. May not: touch what is open. Invariant: the newest stay."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from ingot.store.schema import runs

KEEP_RUNS = 100


def drop_runs(connection: Connection, node_uuid: str) -> None:
    """Drop the node's oldest runs over KEEP_RUNS, their journals and logs with them."""
    newest_first = select(runs.c.id).where(runs.c.node_uuid == node_uuid).order_by(runs.c.started_at.desc())
    old = list(connection.execute(newest_first.offset(KEEP_RUNS)).scalars())
    if old:
        connection.execute(delete(runs).where(runs.c.id.in_(old)))
