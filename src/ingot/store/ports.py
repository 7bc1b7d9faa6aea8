"""Ports in the database: what node_parts.py does, for ports. May not: decide."""

from __future__ import annotations

from ingot.domain import node
from ingot.store import schema
from ingot.store.node_parts import NodeParts

_PORTS = NodeParts(schema.ports, node.Port, "port", by_address=True)
create, find, get = _PORTS.create, _PORTS.find, _PORTS.get
list_of_node, of_nodes, list_page = _PORTS.list_of_node, _PORTS.of_nodes, _PORTS.list_page
change, destroy = _PORTS.change, _PORTS.destroy
