"""How much of a node's past is kept. May not: touch what is open. Invariant: the newest stay.

Who adds to it looks for what is too old one time in sixteen: to look costs as much as to add, and nobody misses the
moment at which the oldest goes.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, select

from ingot.store.schema import node_history, runs

KEEP_RUNS = 100
KEEP_LINES = 300
_RUNS = select(runs.c.id).where(runs.c.node_uuid == bindparam("of_node")).order_by(runs.c.started_at.desc())
_OLD_RUNS = _RUNS.offset(KEEP_RUNS)
_LINES = select(node_history.c.id).where(node_history.c.node_uuid == bindparam("of_node"))
_OLDEST_LINE = _LINES.order_by(node_history.c.id.desc()).limit(1).offset(KEEP_LINES)


def is_time(uuid: str) -> bool:
    """Whether who adds something with this random uuid is the one in sixteen that looks."""
    return uuid[0] == "0"


def drop_runs(connection: Connection, node_uuid: str) -> None:
    """Drop the node's oldest runs over KEEP_RUNS, their journals and logs with them."""
    old = list(connection.execute(_OLD_RUNS, {"of_node": node_uuid}).scalars())
    if old:
        connection.execute(delete(runs).where(runs.c.id.in_(old)))


def drop_lines(connection: Connection, node_uuid: str) -> None:
    """Drop the oldest lines over KEEP_LINES of the node's history."""
    limit = connection.execute(_OLDEST_LINE, {"of_node": node_uuid}).scalar()
    if limit is not None:
        old = delete(node_history).where(node_history.c.node_uuid == node_uuid, node_history.c.id <= limit)
        connection.execute(old)
