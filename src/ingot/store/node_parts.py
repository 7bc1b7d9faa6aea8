"""Rows that belong to a node and are named by uuid or name: ports and port groups, alike but for their columns.

May not: decide. Invariant: addresses are lower case and unique.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Table, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ingot.domain import errors, ids, node
from ingot.store import rows, schema, taken, tenancy
from ingot.store.paging import Page, paged

T = TypeVar("T", node.Port, node.Portgroup)


class NodeParts(Generic[T]):
    """One of the tables. ``what``: how people call an item; ``by_address``: its MAC address names it as well."""

    def __init__(self, table: Table, kind: type[T], what: str, *, by_address: bool = False) -> None:
        self._table, self._kind, self._what, self._by_address = table, kind, what, by_address
        oldest_first = select(table).order_by(table.c.id)
        self._of_node = oldest_first.where(table.c.node_uuid == bindparam("of_node"))
        self._of_nodes = oldest_first.where(table.c.node_uuid.in_(bindparam("of_nodes", expanding=True)))

    def create(self, connection: Connection, value: T) -> T:
        """Store a new one. Raises errors.Conflict when its MAC address, name or uuid is taken."""
        try:
            connection.execute(insert(self._table).values(rows.to_row(value, self._table, created_at=rows.now())))
        except IntegrityError as error:
            raise taken.conflict(error, self._what, uuid=value.uuid, name=value.name, address=value.address) from error
        return self.get(connection, value.uuid)

    def find(self, connection: Connection, ident: str) -> T | None:
        """The one of this uuid, MAC address or name, or None."""
        columns = self._table.c
        statement = select(self._table)
        if ids.is_uuid(ident):
            statement = statement.where(columns.uuid == ident)
        elif self._by_address and ident.count(":") == 5:  # a name may look like an address, too
            is_address = columns.address == ident.lower()
            statement = statement.where(or_(is_address, columns.name == ident)).order_by(is_address.desc())
        else:
            statement = statement.where(columns.name == ident)
        row = connection.execute(statement).first()
        return None if row is None else rows.from_row(row, self._kind)

    def get(self, connection: Connection, ident: str) -> T:
        """The same. Raises errors.NotFound."""
        found = self.find(connection, ident)
        if found is None:
            raise self._missing(ident)
        return found

    def list_of_node(self, connection: Connection, node_uuid: str) -> list[T]:
        """All of a node, oldest first."""
        return [rows.from_row(row, self._kind) for row in connection.execute(self._of_node, {"of_node": node_uuid})]

    def of_nodes(self, connection: Connection, uuids: list[str]) -> dict[str, list[T]]:
        """Those of many nodes by the nodes' uuids, oldest first; nodes without any are absent."""
        found: dict[str, list[T]] = {}
        for row in connection.execute(self._of_nodes, {"of_nodes": uuids}):
            found.setdefault(row.node_uuid, []).append(rows.from_row(row, self._kind))
        return found

    def list_page(self, connection: Connection, page: Page, **equal: Any) -> list[T]:
        """One page of those whose columns equal the given values (None: any).

        ``shard`` and ``conductor_group`` (lists) select by the node, ``project`` by its owner and lessee.
        """
        columns, nodes = self._table.c, schema.nodes
        statement = select(self._table)
        for key, value in equal.items():
            if value is None:
                continue
            if key in {"shard", "conductor_group"}:
                owners = select(nodes.c.uuid).where(nodes.c[key].in_(value))
                statement = statement.where(columns.node_uuid.in_(owners))
            elif key == "project":
                statement = statement.where(columns.node_uuid.in_(tenancy.nodes_of(value)))
            elif key == "description_contains":
                statement = statement.where(columns.description.contains(value, autoescape=True))
            else:
                statement = statement.where(columns[key] == value)
        found = connection.execute(paged(connection, self._table, statement, page))
        return [rows.from_row(row, self._kind) for row in found]

    def change(self, connection: Connection, uuid: str, /, **values: Any) -> None:
        """Set columns of one. Raises errors.NotFound, or Conflict when MAC address or name is taken."""
        values.setdefault("updated_at", rows.now())
        statement = update(self._table).where(self._table.c.uuid == uuid).values(rows.encode(values))
        try:
            result = connection.execute(statement)
        except IntegrityError as error:
            name, address = values.get("name"), values.get("address")
            raise taken.conflict(error, self._what, name=name, address=address) from error
        if result.rowcount == 0:
            raise self._missing(uuid)

    def destroy(self, connection: Connection, uuid: str) -> None:
        """Remove one. Raises errors.NotFound."""
        if connection.execute(delete(self._table).where(self._table.c.uuid == uuid)).rowcount == 0:
            raise self._missing(uuid)

    def _missing(self, ident: str) -> errors.NotFound:
        return errors.NotFound(f"{self._what.capitalize()} {ident} could not be found.")
