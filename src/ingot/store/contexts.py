"""What a node's drivers are given of it: its row, its ports, its secrets; for many nodes in three statements.

May not: open a secret.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from ingot.domain import node
from ingot.store import nodes, portgroups, ports


class Loaded(NamedTuple):
    """A node as stored, its secrets and its agent's token sealed."""

    node: node.Node
    ports: list[node.Port]
    portgroups: list[node.Portgroup]
    sealed: str | None
    token: str | None


def get(connection: Connection, ident: str) -> Loaded:
    """Of the node with this uuid or name. Raises errors.NotFound."""
    found, sealed, token = nodes.get_sealed(connection, ident)
    cards, groups = ports.list_of_node(connection, found.uuid), portgroups.list_of_node(connection, found.uuid)
    return Loaded(found, cards, groups, sealed, token)


def of_nodes(connection: Connection, uuids: list[str]) -> dict[str, Loaded]:
    """Of many nodes by uuid; nodes that are gone are absent."""
    cards, groups = ports.of_nodes(connection, uuids), portgroups.of_nodes(connection, uuids)
    return {
        found.uuid: Loaded(found, cards.get(found.uuid, []), groups.get(found.uuid, []), sealed, token)
        for found, sealed, token in nodes.list_sealed(connection, uuids)
    }
