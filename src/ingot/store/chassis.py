"""Chassis in the database. May not: decide."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ingot.domain import errors, node
from ingot.store import rows, taken
from ingot.store.paging import Page, paged
from ingot.store.schema import chassis, nodes


def create(connection: Connection, value: node.Chassis) -> node.Chassis:
    """Store a new chassis. Raises errors.Conflict when the uuid is taken."""
    try:
        connection.execute(insert(chassis).values(rows.to_row(value, chassis, created_at=rows.now())))
    except IntegrityError as error:
        raise taken.conflict(error, "chassis", uuid=value.uuid) from error
    return get(connection, value.uuid)


def get(connection: Connection, uuid: str) -> node.Chassis:
    """The chassis with this uuid. Raises errors.NotFound."""
    row = connection.execute(select(chassis).where(chassis.c.uuid == uuid)).first()
    if row is None:
        raise errors.NotFound(f"Chassis {uuid} could not be found.")
    return rows.from_row(row, node.Chassis)


def list_page(connection: Connection, page: Page) -> list[node.Chassis]:
    """One page of chassis."""
    found = connection.execute(paged(connection, chassis, select(chassis), page))
    return [rows.from_row(row, node.Chassis) for row in found]


def change(connection: Connection, uuid: str, /, **values: Any) -> None:
    """Set columns of one chassis. Raises NotFound."""
    values.setdefault("updated_at", rows.now())
    if connection.execute(update(chassis).where(chassis.c.uuid == uuid).values(rows.encode(values))).rowcount == 0:
        raise errors.NotFound(f"Chassis {uuid} could not be found.")


def destroy(connection: Connection, uuid: str) -> None:
    """Remove an empty chassis. Raises NotFound; errors.Invalid while nodes are in it (as Ironic answers)."""
    get(connection, uuid)
    if connection.execute(select(nodes.c.id).where(nodes.c.chassis_uuid == uuid).limit(1)).first():
        raise errors.Invalid(
            f"Cannot complete the requested action because chassis {uuid} contains nodes.",
            hint="Move or delete them first.",
        )
    connection.execute(delete(chassis).where(chassis.c.uuid == uuid))
