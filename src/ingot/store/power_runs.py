"""Asking for a change of a node's power: by a run of its own, or of the run that holds the node and only waits.

May not: switch. Invariant: one change at a time; who asks for a second one reads "locked".
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, update

from ingot.domain import ids, power, runs
from ingot.store import rows
from ingot.store import runs as run_store
from ingot.store.schema import nodes
from ingot.store.schema import runs as table

_DEADLINE = 900.0
"""Seconds that a change may take, whatever is asked for: it keeps a node locked."""
_CHANGE_WAITING = update(table).where(table.c.id == bindparam("of_run"), table.c.owner.is_(None))
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
    _show(connection, node_uuid, target, host)


def ask_waiting(
    connection: Connection, node_uuid: str, target: power.Target, timeout: float | None, now: float, host: str
) -> bool:
    """Have the run that waits change the node's power before it waits on; False when no run of the node waits for
    nothing else now.

    ``host`` locks the node until that was done.
    """
    run = run_store.find_open(connection, node_uuid)
    if run is None or run.wait is None or run.owner is not None or run.abort_requested:
        return False
    if runs.POWER_ASKED in run.memo:  # by somebody before, and whoever was to do it stopped: the node shows no lock
        return False
    limit = None if timeout is None else min(timeout, _DEADLINE)
    asked = {"target": target.value, "timeout": limit, "wait": run.wait.what}
    memo = {**run.memo, runs.POWER_ASKED: asked}
    values = {**rows.encode({"memo": memo}), "wake_at": now}
    if connection.execute(_CHANGE_WAITING, {**values, "of_run": run.id}).rowcount == 0:
        return False
    _show(connection, node_uuid, target, host)
    return True


def _show(connection: Connection, node_uuid: str, target: power.Target, host: str | None) -> None:
    going = {"target_power_state": target.result().value, "last_error": None, "updated_at": rows.now()}
    going |= {} if host is None else {"reservation": host}
    connection.execute(_CHANGE_NODE, {**going, "of_node": node_uuid})
