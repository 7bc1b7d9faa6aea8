"""A node's history and inventory in the database. May not: decide. How long lines are kept: retention.py."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select

from ingot.domain import errors, ids, node
from ingot.store import retention, rows
from ingot.store.paging import Page, paged
from ingot.store.schema import node_history, node_inventory

_ADD = insert(node_history)
_ADD_INVENTORY = insert(node_inventory)
_DROP_INVENTORY = delete(node_inventory).where(node_inventory.c.node_uuid == bindparam("of_node"))
_NEWEST_FIRST = (
    select(node_history.c.id, node_history.c.event)
    .where(node_history.c.node_uuid == bindparam("of_node"))
    .order_by(node_history.c.id.desc())
    .limit(1)
)


def add(connection: Connection, node_uuid: str, event: str, /, *, severity: str = "INFO", **more: Any) -> None:
    """Write one line (``more``: event_type, conductor, user, state, ...)."""
    uuid = ids.new()
    values = {"uuid": uuid, "node_uuid": node_uuid, "created_at": rows.now(), "event": event, **more}
    connection.execute(_ADD, {"severity": severity, **values})
    if retention.is_time(uuid):
        retention.drop_lines(connection, node_uuid)


def find_newest(connection: Connection, node_uuid: str) -> str | None:
    """The text of a node's newest line, None without any."""
    row = connection.execute(_NEWEST_FIRST, {"of_node": node_uuid}).first()
    return None if row is None else row.event


def list_page(connection: Connection, node_uuid: str, page: Page) -> list[node.HistoryEntry]:
    """One page of a node's history, oldest first."""
    statement = select(node_history).where(node_history.c.node_uuid == node_uuid)
    found = connection.execute(paged(connection, node_history, statement, page))
    return [rows.from_row(row, node.HistoryEntry) for row in found]


def get(connection: Connection, node_uuid: str, uuid: str) -> node.HistoryEntry:
    """One line of a node's history. Raises NotFound."""
    statement = select(node_history).where(node_history.c.node_uuid == node_uuid, node_history.c.uuid == uuid)
    row = connection.execute(statement).first()
    if row is None:
        raise errors.NotFound(f"Node history record {uuid} could not be found.")
    return rows.from_row(row, node.HistoryEntry)


def set_inventory(
    connection: Connection, node_uuid: str, inventory: dict[str, Any], plugin_data: dict[str, Any]
) -> None:
    """Store what inspection found, in place of what was there."""
    connection.execute(_DROP_INVENTORY, {"of_node": node_uuid})
    values = rows.encode({"inventory": inventory, "plugin_data": plugin_data})
    connection.execute(_ADD_INVENTORY, {"node_uuid": node_uuid, "created_at": rows.now(), **values})


def find_inventory(connection: Connection, node_uuid: str) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """(time stored, inventory, plugin data) of a node, None if it was never inspected."""
    row = connection.execute(select(node_inventory).where(node_inventory.c.node_uuid == node_uuid)).first()
    if row is None:
        return None
    return row.created_at, msgspec.json.decode(row.inventory), msgspec.json.decode(row.plugin_data)


def get_inventory(connection: Connection, node_uuid: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(inventory, plugin data) of a node. Raises NotFound if it was never inspected."""
    found = find_inventory(connection, node_uuid)
    if found is None:
        raise errors.NotFound(
            f"Node inventory record for node {node_uuid} could not be found.",
            hint="Inspect the node first (provision verb inspect).",
        )
    return found[1], found[2]
