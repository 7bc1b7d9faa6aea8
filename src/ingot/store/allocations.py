"""Allocations in the database. May not: decide which node is taken (placement.py finds, services choose)."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ingot.domain import allocation, errors, ids
from ingot.store import rows
from ingot.store.lookups import Question, answers
from ingot.store.paging import Page, paged
from ingot.store.schema import allocations, nodes

_INSERT = insert(allocations)
_OF_NODE = select(allocations).where(allocations.c.node_uuid == bindparam("of_node"))
_CHANGE = update(allocations).where(allocations.c.uuid == bindparam("is_uuid"))
_FREE = update(nodes).where(nodes.c.allocation_uuid == bindparam("of_allocation"))
_DESTROY = delete(allocations).where(allocations.c.uuid == bindparam("is_uuid"))
_BY_UUID = select(allocations).where(allocations.c.uuid == bindparam("ident"))
_BY_NAME = select(allocations).where(allocations.c.name == bindparam("ident"))
_WAITING = (
    select(allocations)
    .where(allocations.c.state == bindparam("state"))
    .order_by(allocations.c.id)
    .limit(bindparam("limit"))
)


def create(connection: Connection, value: allocation.Allocation) -> allocation.Allocation:
    """Store a new allocation. Raises errors.Conflict when its name or uuid is taken."""
    made = msgspec.structs.replace(value, created_at=rows.now())
    try:
        connection.execute(_INSERT, rows.to_row(made, allocations))
    except IntegrityError as error:
        raise _conflict(value, rows.taken(error)) from error
    return made


def _by_ident(_: str, ident: str) -> Question:
    return (_BY_UUID, {"ident": ident.lower()}) if ids.is_uuid(ident) else (_BY_NAME, {"ident": ident})


@answers(_by_ident)
def find(row: Any, _ident: str) -> allocation.Allocation | None:
    """The allocation with this uuid or name, or None."""
    return None if row is None else rows.from_row(row, allocation.Allocation)


@answers(_by_ident)
def get(row: Any, ident: str) -> allocation.Allocation:
    """The allocation with this uuid or name. Raises errors.NotFound."""
    if row is None:
        raise errors.NotFound(f"Allocation {ident} could not be found.")
    return rows.from_row(row, allocation.Allocation)


def find_of_node(connection: Connection, node_uuid: str) -> allocation.Allocation | None:
    """The allocation that holds this node, or None."""
    row = connection.execute(_OF_NODE, {"of_node": node_uuid}).first()
    return None if row is None else rows.from_row(row, allocation.Allocation)


def list_page(connection: Connection, page: Page, **equal: str | None) -> list[allocation.Allocation]:
    """One page of allocations whose columns equal the given values (None: any)."""
    statement = select(allocations)
    for key, value in equal.items():
        if value is not None:
            statement = statement.where(allocations.c[key] == value)
    found = connection.execute(paged(connection, allocations, statement, page))
    return [rows.from_row(row, allocation.Allocation) for row in found]


def list_waiting(connection: Connection, limit: int) -> list[allocation.Allocation]:
    """Allocations that no node was looked for yet, oldest first."""
    found = connection.execute(_WAITING, {"state": allocation.State.ALLOCATING.value, "limit": limit})
    return [rows.from_row(row, allocation.Allocation) for row in found]


def find_node_uuids(connection: Connection, idents: list[str], project: str | None) -> dict[str, str]:
    """The uuids of the nodes that these uuids and names mean, by ident; those that mean none are absent.

    ``project``: only nodes that it owns or leases count; None: all do.
    """
    known: dict[str, str] = {}
    wanted = list(dict.fromkeys(idents))
    for start in range(0, len(wanted), 400):
        part = wanted[start : start + 400]
        lower = [ident.lower() for ident in part]
        statement = select(nodes.c.uuid, nodes.c.name).where(or_(nodes.c.uuid.in_(lower), nodes.c.name.in_(part)))
        if project is not None:
            statement = statement.where(or_(nodes.c.owner == project, nodes.c.lessee == project))
        for row in connection.execute(statement):
            known[row.uuid] = row.uuid
            known.setdefault(row.name, row.uuid)
    return {ident: known.get(ident) or known[ident.lower()] for ident in wanted if {ident, ident.lower()} & set(known)}


def change(connection: Connection, uuid: str, /, **values: Any) -> None:
    """Set columns of one allocation and touch ``updated_at``. Raises NotFound, or Conflict on a taken name."""
    changed = rows.encode({"updated_at": rows.now(), **values})
    try:
        result = connection.execute(_CHANGE, {**changed, "is_uuid": uuid})
    except IntegrityError as error:
        raise errors.Conflict(f"An allocation with name {values.get('name')} already exists.") from error
    if result.rowcount == 0:
        raise errors.NotFound(f"Allocation {uuid} could not be found.")


def destroy(connection: Connection, uuid: str) -> None:
    """Remove an allocation; the node it holds, if any, is free again. Raises NotFound."""
    free: dict[str, Any] = {"allocation_uuid": None, "instance_uuid": None, "updated_at": rows.now()}
    connection.execute(_FREE, {**free, "of_allocation": uuid})
    if connection.execute(_DESTROY, {"is_uuid": uuid}).rowcount == 0:
        raise errors.NotFound(f"Allocation {uuid} could not be found.")


def _conflict(value: allocation.Allocation, column: str) -> errors.Conflict:
    if column == "name":
        return errors.Conflict(f"An allocation with name {value.name} already exists.", hint="Choose another name.")
    return errors.Conflict(f"An allocation with UUID {value.uuid} already exists.", hint="Choose another one.")
