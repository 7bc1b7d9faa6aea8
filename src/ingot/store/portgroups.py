"""Port groups in the database. May not: decide. Invariant: addresses are lower case and unique."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ingot.domain import errors, ids, node
from ingot.store import rows, taken, tenancy
from ingot.store.paging import Page, paged
from ingot.store.schema import nodes, portgroups, ports


def create(connection: Connection, value: node.Portgroup) -> node.Portgroup:
    """Store a new port group. Raises errors.Conflict when its MAC address, name or uuid is taken."""
    try:
        connection.execute(insert(portgroups).values(rows.to_row(value, portgroups, created_at=rows.now())))
    except IntegrityError as error:
        raise taken.conflict(error, "portgroup", uuid=value.uuid, name=value.name, address=value.address) from error
    return get(connection, value.uuid)


def find(connection: Connection, ident: str) -> node.Portgroup | None:
    """The port group with this uuid or name, or None."""
    column = portgroups.c.uuid if ids.is_uuid(ident) else portgroups.c.name
    row = connection.execute(select(portgroups).where(column == ident)).first()
    return None if row is None else rows.from_row(row, node.Portgroup)


def get(connection: Connection, ident: str) -> node.Portgroup:
    """The port group with this uuid or name. Raises errors.NotFound."""
    found = find(connection, ident)
    if found is None:
        raise errors.NotFound(f"Portgroup {ident} could not be found.")
    return found


_OLDEST_FIRST = select(portgroups).order_by(portgroups.c.id)
_OF_NODE = _OLDEST_FIRST.where(portgroups.c.node_uuid == bindparam("of_node"))
_OF_NODES = _OLDEST_FIRST.where(portgroups.c.node_uuid.in_(bindparam("of_nodes", expanding=True)))


def list_of_node(connection: Connection, node_uuid: str) -> list[node.Portgroup]:
    """Every port group of a node, oldest first."""
    return [rows.from_row(row, node.Portgroup) for row in connection.execute(_OF_NODE, {"of_node": node_uuid})]


def of_nodes(connection: Connection, uuids: list[str]) -> dict[str, list[node.Portgroup]]:
    """The port groups of many nodes by the nodes' uuids, oldest first; nodes without any are absent."""
    found: dict[str, list[node.Portgroup]] = {}
    for row in connection.execute(_OF_NODES, {"of_nodes": uuids}):
        found.setdefault(row.node_uuid, []).append(rows.from_row(row, node.Portgroup))
    return found


def list_members(connection: Connection, uuid: str) -> list[node.Port]:
    """The ports of a port group, oldest first."""
    statement = select(ports).where(ports.c.portgroup_uuid == uuid).order_by(ports.c.id)
    return [rows.from_row(row, node.Port) for row in connection.execute(statement)]


def list_page(connection: Connection, page: Page, **equal: Any) -> list[node.Portgroup]:
    """One page of port groups whose columns equal the given values (None: any).

    ``shard`` and ``conductor_group`` (lists) and ``project`` select by the group's node.
    """
    statement = select(portgroups)
    for key, value in equal.items():
        if value is None:
            continue
        if key == "project":
            statement = statement.where(portgroups.c.node_uuid.in_(tenancy.nodes_of(value)))
        elif key in {"shard", "conductor_group"}:
            owners = select(nodes.c.uuid).where(nodes.c[key].in_(value))
            statement = statement.where(portgroups.c.node_uuid.in_(owners))
        else:
            statement = statement.where(portgroups.c[key] == value)
    found = connection.execute(paged(connection, portgroups, statement, page))
    return [rows.from_row(row, node.Portgroup) for row in found]


def change(connection: Connection, uuid: str, /, **values: Any) -> None:
    """Set columns of one port group. Raises NotFound, or Conflict when the MAC address or name is taken."""
    values.setdefault("updated_at", rows.now())
    try:
        result = connection.execute(update(portgroups).where(portgroups.c.uuid == uuid).values(rows.encode(values)))
    except IntegrityError as error:
        raise taken.conflict(error, "portgroup", name=values.get("name"), address=values.get("address")) from error
    if result.rowcount == 0:
        raise errors.NotFound(f"Portgroup {uuid} could not be found.")


def destroy(connection: Connection, uuid: str) -> None:
    """Remove a port group that exists."""
    connection.execute(delete(portgroups).where(portgroups.c.uuid == uuid))
