"""Volume connectors and targets in the database, alike but for their columns. May not: decide.

Invariant: the secrets among a target's properties are sealed, bound to the target's uuid.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Connection, Row, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ingot.domain import errors, secrets, volumes
from ingot.store import rows, schema, tenancy
from ingot.store.paging import Page, paged
from ingot.store.seal import Sealer

T = TypeVar("T", volumes.Connector, volumes.Target)


class Volumes(Generic[T]):
    """One of the two tables. ``what``: how people call an item."""

    def __init__(self, table: Table, kind: type[T], what: str) -> None:
        self._table, self._kind, self._what = table, kind, what

    def create(self, connection: Connection, sealer: Sealer, value: T) -> T:
        """Store a new one. Raises errors.Conflict when what identifies it is taken."""
        row = rows.to_row(value, self._table, created_at=rows.now(), **_sealed(sealer, value))
        try:
            connection.execute(insert(self._table).values(row))
        except IntegrityError as error:
            raise self._taken(error, value) from error
        return self.get(connection, sealer, value.uuid)

    def get(self, connection: Connection, sealer: Sealer, uuid: str) -> T:
        """The one with this uuid, secrets in clear. Raises errors.NotFound."""
        row = connection.execute(select(self._table).where(self._table.c.uuid == uuid)).first()
        if row is None:
            raise errors.NotFound(f"{self._what.capitalize()} {uuid} could not be found.")
        return self._from(sealer, row)

    def list_page(
        self, connection: Connection, sealer: Sealer, page: Page, *, node_uuid: str | None, project: str | None
    ) -> list[T]:
        """One page of them; ``node_uuid``, ``project``: only that node's, that project's nodes'."""
        statement = select(self._table)
        if node_uuid is not None:
            statement = statement.where(self._table.c.node_uuid == node_uuid)
        if project is not None:
            statement = statement.where(self._table.c.node_uuid.in_(tenancy.nodes_of(project)))
        found = connection.execute(paged(connection, self._table, statement, page))
        return [self._from(sealer, row) for row in found]

    def change(self, connection: Connection, sealer: Sealer, value: T) -> None:
        """Replace one that exists. Raises errors.Conflict when what identifies it is taken."""
        row = rows.to_row(value, self._table, updated_at=rows.now(), **_sealed(sealer, value))
        try:
            connection.execute(update(self._table).where(self._table.c.uuid == value.uuid).values(row))
        except IntegrityError as error:
            raise self._taken(error, value) from error

    def destroy(self, connection: Connection, uuid: str) -> None:
        """Remove one that exists."""
        connection.execute(delete(self._table).where(self._table.c.uuid == uuid))

    def _from(self, sealer: Sealer, row: Row[Any]) -> T:
        found = rows.from_row(row, self._kind)
        if isinstance(found, volumes.Target):
            hidden = sealer.open(found.uuid, rows.as_dict(row)["secrets"])
            if hidden:
                return msgspec.structs.replace(found, properties=secrets.merge(found.properties, hidden))
        return found

    def _taken(self, error: IntegrityError, value: T) -> errors.Conflict:
        if rows.taken(error) == "uuid":
            text = f"A {self._what} with UUID {value.uuid} already exists."
        elif isinstance(value, volumes.Connector):
            text = f"A volume connector with type {value.type} and connector ID {value.connector_id} already exists."
        else:
            text = f"A volume target with boot index '{value.boot_index}' for the same node already exists."
        return errors.Conflict(text, hint="Choose another one.")


CONNECTORS = Volumes(schema.volume_connectors, volumes.Connector, "volume connector")
TARGETS = Volumes(schema.volume_targets, volumes.Target, "volume target")


def _sealed(sealer: Sealer, value: volumes.Connector | volumes.Target) -> dict[str, Any]:
    """The columns that hold a target's properties: masked, and their secrets sealed."""
    if isinstance(value, volumes.Connector):
        return {}
    public, hidden = secrets.split(value.properties, {})
    return {"properties": public, "secrets": sealer.seal(value.uuid, hidden) if hidden else None}
