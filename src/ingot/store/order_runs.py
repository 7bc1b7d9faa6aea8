"""Opening a run that carries out an order (domain/orders.py). May not: seal, so ``params`` hold no secret in clear."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from ingot.domain import orders, runs
from ingot.store import nodes
from ingot.store import runs as run_store


def open_order(connection: Connection, node_uuid: str, params: dict[str, Any], now: float, run_id: str) -> None:
    """Store a run that carries out the order in ``params``. Raises errors.Locked when the node has an open run."""
    at: dict[str, Any] = {"wake_at": now, "started_at": now, "deadline": now + orders.DEADLINE}
    run_store.open_run(connection, runs.Run(id=run_id, node_uuid=node_uuid, kind=runs.Kind.ORDER, params=params, **at))
    nodes.change(connection, node_uuid, last_error=None)
