"""Port groups in the database: what node_parts.py does, for port groups, and their ports. May not: decide."""

from __future__ import annotations

from sqlalchemy import Connection, select

from ingot.domain import node
from ingot.store import rows, schema
from ingot.store.node_parts import NodeParts

_GROUPS = NodeParts(schema.portgroups, node.Portgroup, "portgroup")
create, find, get = _GROUPS.create, _GROUPS.find, _GROUPS.get
list_of_node, of_nodes, list_page = _GROUPS.list_of_node, _GROUPS.of_nodes, _GROUPS.list_page
change, destroy = _GROUPS.change, _GROUPS.destroy


def list_members(connection: Connection, uuid: str) -> list[node.Port]:
    """The ports of a port group, oldest first."""
    ports = schema.ports
    statement = select(ports).where(ports.c.portgroup_uuid == uuid).order_by(ports.c.id)
    return [rows.from_row(row, node.Port) for row in connection.execute(statement)]
