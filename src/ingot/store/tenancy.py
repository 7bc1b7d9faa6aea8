"""Whose an object is: the projects that own and lease it, by the word its addresses begin with.

Why apart: asked before every request of a caller who may not see everything, so it reads two columns and no object.
May not: decide. Invariant: an identifier finds here what it finds for the resource itself.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, Table, bindparam, false, null, select

from ingot.domain import ids
from ingot.store.lookups import Question, answers
from ingot.store.schema import allocations, nodes, portgroups, ports, runbooks, volume_connectors, volume_targets

Found = tuple[str | None, str | None, bool]
"""Owner, lessee, and whether it is everybody's (public)."""
_MOST = 500
"""Values in one statement."""


def _whose(_: str, kind: str, ident: str) -> Question:
    by_uuid, by_name = _STATEMENTS[kind]
    if by_name is None or ids.is_uuid(ident):
        return by_uuid, {"ident": ident.lower()}
    return by_name, {"ident": ident}


@answers(_whose)
def find(row: Any, _kind: str, _ident: str) -> Found | None:
    """Whose the object ``ident`` of ``kind`` ("nodes", "ports", ...) is; None when there is no such object."""
    return None if row is None else (row[0], row[1], bool(row[2]))


def of_nodes(connection: Connection, uuids: list[str]) -> dict[str, Found]:
    """Whose these nodes are, by uuid."""
    found: dict[str, Found] = {}
    for start in range(0, len(uuids), _MOST):
        rows = connection.execute(_OF_NODES, {"uuids": uuids[start : start + _MOST]})
        found.update((uuid, (owner, lessee, False)) for uuid, owner, lessee in rows)
    return found


def nodes_of(project: str) -> Select[Any]:
    """The uuids of the nodes that a project owns or leases."""
    return select(nodes.c.uuid).where((nodes.c.owner == project) | (nodes.c.lessee == project))


_Statement = Select[Any, Any, Any]
_OF_NODES = select(nodes.c.uuid, nodes.c.owner, nodes.c.lessee).where(
    nodes.c.uuid.in_(bindparam("uuids", expanding=True))
)


def _of_node(table: Table) -> tuple[_Statement, _Statement | None]:
    """Of a table whose rows are owned and leased as their node is."""
    source = nodes if table is nodes else nodes.join(table, table.c.node_uuid == nodes.c.uuid)
    return _pair(table, source, nodes.c.owner, nodes.c.lessee, false())


def _pair(table: Table, source: FromClause, *columns: ColumnElement[Any]) -> tuple[_Statement, _Statement | None]:
    """By uuid, and by name where rows have one."""
    owner, lessee, public = columns
    base = select(owner, lessee, public).select_from(source)
    by_name = base.where(table.c.name == bindparam("ident")) if "name" in table.c else None
    return base.where(table.c.uuid == bindparam("ident")), by_name


_STATEMENTS: dict[str, tuple[_Statement, _Statement | None]] = {
    **{table.name: _of_node(table) for table in (nodes, ports, portgroups)},
    "connectors": _of_node(volume_connectors),
    "targets": _of_node(volume_targets),
    "allocations": _pair(allocations, allocations, allocations.c.owner, null(), false()),
    "runbooks": _pair(runbooks, runbooks, runbooks.c.owner, null(), runbooks.c.public),
}
