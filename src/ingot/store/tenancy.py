"""Whose an object is: the projects that own and lease it, by the word its addresses begin with.

Why apart: asked before every request of a caller who may not see everything, so it reads two columns and no object.
May not: decide. Invariant: an identifier finds here what it finds for the resource itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, false, null, select

from ingot.domain import ids
from ingot.store.schema import allocations, nodes, portgroups, ports, runbooks, volume_connectors, volume_targets

Found = tuple[str | None, str | None, bool]
"""Owner, lessee, and whether it is everybody's (public)."""


def find(connection: Connection, kind: str, ident: str) -> Found | None:
    """Whose the object ``ident`` of ``kind`` ("nodes", "ports", ...) is; None when there is no such object."""
    row = connection.execute(_STATEMENTS[kind](ident)).first()
    return None if row is None else (row[0], row[1], bool(row[2]))


def _named(table: Table, ident: str) -> ColumnElement[bool]:
    """By uuid where it reads as one, by name otherwise (volumes have none)."""
    if ids.is_uuid(ident) or "name" not in table.c:
        return table.c.uuid == ident.lower()
    return table.c.name == ident


def _node(ident: str) -> Select[Any, Any, Any]:
    return select(nodes.c.owner, nodes.c.lessee, false()).where(_named(nodes, ident))


def _of_node(table: Table) -> Callable[[str], Select[Any, Any, Any]]:
    """Finds the owner and lessee of the node that a row of ``table`` belongs to."""
    joined = nodes.join(table, table.c.node_uuid == nodes.c.uuid)
    return lambda ident: select(nodes.c.owner, nodes.c.lessee, false()).select_from(joined).where(_named(table, ident))


def _runbook(ident: str) -> Select[Any, Any, Any]:
    return select(runbooks.c.owner, null(), runbooks.c.public).where(_named(runbooks, ident))


def _allocation(ident: str) -> Select[Any, Any, Any]:
    return select(allocations.c.owner, null(), false()).where(_named(allocations, ident))


_STATEMENTS: dict[str, Callable[[str], Select[Any, Any, Any]]] = {
    "nodes": _node,
    "ports": _of_node(ports),
    "portgroups": _of_node(portgroups),
    "connectors": _of_node(volume_connectors),
    "targets": _of_node(volume_targets),
    "allocations": _allocation,
    "runbooks": _runbook,
}


def nodes_of(project: str) -> Select[Any]:
    """The uuids of the nodes that a project owns or leases."""
    return select(nodes.c.uuid).where((nodes.c.owner == project) | (nodes.c.lessee == project))
