"""How much of a node's past is kept. May not: touch what is open. Invariant: the newest stay."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, select

from ingot.store.schema import runs

KEEP_RUNS = 100
_NEWEST_FIRST = select(runs.c.id).where(runs.c.node_uuid == bindparam("of_node")).order_by(runs.c.started_at.desc())
_OLD = _NEWEST_FIRST.offset(KEEP_RUNS)


def drop_runs(connection: Connection, node_uuid: str) -> None:
    """Drop the node's oldest runs over KEEP_RUNS, their journals and logs with them."""
    old = list(connection.execute(_OLD, {"of_node": node_uuid}).scalars())
    if old:
        connection.execute(delete(runs).where(runs.c.id.in_(old)))
