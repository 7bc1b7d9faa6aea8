"""Ports in the database. May not: decide. Invariant: addresses are lower case and unique."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ingot.domain import errors, node
from ingot.store import rows, taken, tenancy
from ingot.store.paging import Page, paged
from ingot.store.schema import nodes, ports


def create(connection: Connection, value: node.Port) -> node.Port:
    """Store a new port. Raises errors.Conflict when its MAC address, name or uuid is taken."""
    try:
        connection.execute(insert(ports).values(rows.to_row(value, ports, created_at=rows.now())))
    except IntegrityError as error:
        raise taken.conflict(error, "port", uuid=value.uuid, name=value.name, address=value.address) from error
    return get(connection, value.uuid)


def find(connection: Connection, ident: str) -> node.Port | None:
    """The port with this uuid, name or MAC address, or None."""
    column = ports.c.uuid if len(ident) == 36 else ports.c.address if ident.count(":") == 5 else ports.c.name
    row = connection.execute(select(ports).where(column == ident)).first()
    return None if row is None else rows.from_row(row, node.Port)


def get(connection: Connection, ident: str) -> node.Port:
    """The port with this uuid, name or MAC address. Raises errors.NotFound."""
    found = find(connection, ident)
    if found is None:
        raise errors.NotFound(f"Port {ident} could not be found.")
    return found


_OLDEST_FIRST = select(ports).order_by(ports.c.id)
_OF_NODE = _OLDEST_FIRST.where(ports.c.node_uuid == bindparam("of_node"))
_OF_NODES = _OLDEST_FIRST.where(ports.c.node_uuid.in_(bindparam("of_nodes", expanding=True)))


def list_of_node(connection: Connection, node_uuid: str) -> list[node.Port]:
    """Every port of a node, oldest first."""
    return [rows.from_row(row, node.Port) for row in connection.execute(_OF_NODE, {"of_node": node_uuid})]


def of_nodes(connection: Connection, uuids: list[str]) -> dict[str, list[node.Port]]:
    """The ports of many nodes by the nodes' uuids, oldest first; nodes without any are absent."""
    found: dict[str, list[node.Port]] = {}
    for row in connection.execute(_OF_NODES, {"of_nodes": uuids}):
        found.setdefault(row.node_uuid, []).append(rows.from_row(row, node.Port))
    return found


def list_page(connection: Connection, page: Page, **equal: Any) -> list[node.Port]:
    """One page of ports whose columns equal the given values (None: any).

    ``shard`` and ``conductor_group`` (lists) and ``project`` select by the port's node.
    """
    statement = select(ports)
    for key, value in equal.items():
        if value is None:
            continue
        if key in {"shard", "conductor_group"}:
            owners = select(nodes.c.uuid).where(nodes.c[key].in_(value))
            statement = statement.where(ports.c.node_uuid.in_(owners))
        elif key == "project":
            statement = statement.where(ports.c.node_uuid.in_(tenancy.nodes_of(value)))
        elif key == "description_contains":
            statement = statement.where(ports.c.description.contains(value, autoescape=True))
        else:
            statement = statement.where(ports.c[key] == value)
    statement = paged(connection, ports, statement, page)
    return [rows.from_row(row, node.Port) for row in connection.execute(statement)]


def change(connection: Connection, uuid: str, /, **values: Any) -> None:
    """Set columns of one port. Raises NotFound, or Conflict when MAC address or name is taken."""
    values.setdefault("updated_at", rows.now())
    try:
        result = connection.execute(update(ports).where(ports.c.uuid == uuid).values(rows.encode(values)))
    except IntegrityError as error:
        raise taken.conflict(error, "port", name=values.get("name"), address=values.get("address")) from error
    if result.rowcount == 0:
        raise errors.NotFound(f"Port {uuid} could not be found.")


def destroy(connection: Connection, uuid: str) -> None:
    """Remove a port. Raises NotFound."""
    if connection.execute(delete(ports).where(ports.c.uuid == uuid)).rowcount == 0:
        raise errors.NotFound(f"Port {uuid} could not be found.")
