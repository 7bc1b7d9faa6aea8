"""Opening a run that changes a node's power: it is asked for by itself, outside of all states. May not: switch."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, update

from ingot.domain import ids, power, runs
from ingot.store import rows
from ingot.store import runs as run_store
from ingot.store.schema import nodes

_DEADLINE = 900.0
_CHANGE_NODE = update(nodes).where(nodes.c.uuid == bindparam("of_node"))


def open_power(
    connection: Connection,
    node_uuid: str,
    target: power.Target,
    timeout: float | None,
    now: float,
    host: str | None = None,
) -> None:
    """Store a run that changes a node's power; ``host`` locks it unless a run still does. Raises errors.Locked."""
    params = {"target": target.value, "timeout": timeout}
    at: dict[str, Any] = {"wake_at": now, "started_at": now, "deadline": now + _DEADLINE}
    run = runs.Run(id=ids.new(), node_uuid=node_uuid, kind=runs.Kind.POWER, params=params, **at)
    run_store.open_run(connection, run)
    going = {"target_power_state": target.result().value, "last_error": None, "updated_at": rows.now()}
    going |= {} if host is None else {"reservation": host}
    connection.execute(_CHANGE_NODE, {**going, "of_node": node_uuid})
