"""Deploy templates and runbooks in the database, alike but for their columns. May not: decide.

Invariant: the secrets among the steps' arguments are sealed, bound to the list's uuid.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Connection, Row, Table, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ingot.domain import errors, ids, secrets, steplists
from ingot.store import rows, schema, taken
from ingot.store.paging import Page, paged
from ingot.store.seal import Sealer

T = TypeVar("T", steplists.DeployTemplate, steplists.Runbook)


class StepLists(Generic[T]):
    """One of the two tables. ``what``: how people call an item."""

    def __init__(self, table: Table, kind: type[T], what: str) -> None:
        self._table, self._kind, self._what = table, kind, what

    def create(self, connection: Connection, sealer: Sealer, value: T) -> T:
        """Store a new one. Raises errors.Conflict when uuid or name is taken."""
        row = rows.to_row(value, self._table, created_at=rows.now(), **_sealed(sealer, value.uuid, value.steps))
        try:
            connection.execute(insert(self._table).values(row))
        except IntegrityError as error:
            raise taken.conflict(error, self._what, uuid=value.uuid, name=value.name) from error
        return self.get(connection, sealer, value.uuid)

    def get(self, connection: Connection, sealer: Sealer, ident: str) -> T:
        """The one with this uuid or name, secrets in clear. Raises errors.NotFound."""
        column = self._table.c.uuid if ids.is_uuid(ident) else self._table.c.name
        row = connection.execute(select(self._table).where(column == ident)).first()
        if row is None:
            raise errors.NotFound(f"{self._what.capitalize()} {ident} could not be found.")
        return self._from(sealer, row)

    def list_page(self, connection: Connection, sealer: Sealer, page: Page, project: str | None = None) -> list[T]:
        """One page of them; ``project``: only what it owns and what is public (runbooks)."""
        statement = select(self._table)
        if project is not None:
            statement = statement.where(or_(self._table.c.owner == project, self._table.c.public))
        found = connection.execute(paged(connection, self._table, statement, page))
        return [self._from(sealer, row) for row in found]

    def list_named(self, connection: Connection, sealer: Sealer, names: list[str]) -> list[T]:
        """Those with one of these names, by name."""
        statement = select(self._table).where(self._table.c.name.in_(names)).order_by(self._table.c.name)
        return [self._from(sealer, row) for row in connection.execute(statement)]

    def change(self, connection: Connection, sealer: Sealer, value: T, *, touch: bool = True) -> None:
        """Replace one; ``touch``: it counts as changed now. Raises errors.NotFound, or Conflict on a taken name."""
        at = {"updated_at": rows.now()} if touch else {}
        row = rows.to_row(value, self._table, **at, **_sealed(sealer, value.uuid, value.steps))
        try:
            result = connection.execute(update(self._table).where(self._table.c.uuid == value.uuid).values(row))
        except IntegrityError as error:
            raise taken.conflict(error, self._what, name=value.name) from error
        if result.rowcount == 0:
            raise errors.NotFound(f"{self._what.capitalize()} {value.uuid} could not be found.")

    def destroy(self, connection: Connection, uuid: str) -> None:
        """Remove one that exists."""
        connection.execute(delete(self._table).where(self._table.c.uuid == uuid))

    def _from(self, sealer: Sealer, row: Row[Any]) -> T:
        found = rows.from_row(row, self._kind)
        hidden = sealer.open(found.uuid, rows.as_dict(row)["secrets"])
        steps = secrets.merge({"steps": found.steps}, hidden)["steps"] if hidden else found.steps
        return msgspec.structs.replace(found, steps=steps)


TEMPLATES = StepLists(schema.deploy_templates, steplists.DeployTemplate, "deploy template")
RUNBOOKS = StepLists(schema.runbooks, steplists.Runbook, "runbook")


def _sealed(sealer: Sealer, uuid: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns that hold the steps: masked, and their secrets sealed."""
    public, hidden = secrets.split({"steps": steps}, {})
    return {"steps": public["steps"], "secrets": sealer.seal(uuid, hidden) if hidden else None}
