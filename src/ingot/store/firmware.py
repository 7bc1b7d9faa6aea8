"""The firmware versions last read of a node. May not: decide.

Invariant: ``initial_version`` is the first one ever read, ``last_version_flashed`` the last one that replaced another.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from ingot.domain import firmware
from ingot.store import rows
from ingot.store.schema import node_firmware


class Record(firmware.Component, frozen=True, kw_only=True):
    """A component with its history and the times it was first stored and last changed."""

    initial_version: str | None
    last_version_flashed: str | None = None
    created_at: str
    updated_at: str | None = None


def replace(connection: Connection, node_uuid: str, components: list[firmware.Component]) -> None:
    """Store what was read: new components come, others change or go."""
    known = {record.component: record for record in list_all(connection, node_uuid)}
    mine = node_firmware.c.node_uuid == node_uuid
    for component in components:
        values = msgspec.structs.asdict(component)
        before = known.pop(component.component, None)
        if before is None:
            first = {"initial_version": component.current_version, "created_at": rows.now()}
            connection.execute(insert(node_firmware).values(node_uuid=node_uuid, **first, **values))
        elif any(getattr(before, name) != value for name, value in values.items()):
            if before.current_version != component.current_version:
                values["last_version_flashed"] = component.current_version
            changed = update(node_firmware).where(mine, node_firmware.c.component == component.component)
            connection.execute(changed.values(updated_at=rows.now(), **values))
    for name in known:
        connection.execute(delete(node_firmware).where(mine, node_firmware.c.component == name))


def list_all(connection: Connection, node_uuid: str) -> list[Record]:
    """Every component of a node, in the order they were first stored."""
    mine = select(node_firmware).where(node_firmware.c.node_uuid == node_uuid)
    return [rows.from_row(row, Record) for row in connection.execute(mine.order_by(node_firmware.c.id))]
