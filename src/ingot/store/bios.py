"""The firmware settings last read of a node. May not: decide. Invariant: a node's settings are those of one reading."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from ingot.domain import bios, errors
from ingot.store import rows
from ingot.store.schema import node_bios


class Record(bios.Setting, frozen=True, kw_only=True):
    """A setting with the times it was first stored and last changed."""

    created_at: str
    updated_at: str | None = None


def replace(connection: Connection, node_uuid: str, settings: list[bios.Setting]) -> None:
    """Store what was read: new settings come, others change or go; what stayed the same keeps its times."""
    known = {record.name: record for record in list_all(connection, node_uuid)}
    mine = node_bios.c.node_uuid == node_uuid
    for setting in settings:
        values = rows.encode(msgspec.structs.asdict(setting))
        before = known.pop(setting.name, None)
        if before is None:
            connection.execute(insert(node_bios).values(node_uuid=node_uuid, created_at=rows.now(), **values))
        elif any(getattr(before, name) != value for name, value in msgspec.structs.asdict(setting).items()):
            changed = update(node_bios).where(mine, node_bios.c.name == setting.name)
            connection.execute(changed.values(updated_at=rows.now(), **values))
    for name in known:
        connection.execute(delete(node_bios).where(mine, node_bios.c.name == name))


def list_all(connection: Connection, node_uuid: str) -> list[Record]:
    """Every setting of a node, in the order they were first stored."""
    found = connection.execute(select(node_bios).where(node_bios.c.node_uuid == node_uuid).order_by(node_bios.c.id))
    return [rows.from_row(row, Record) for row in found]


def get(connection: Connection, node_uuid: str, name: str) -> Record:
    """One setting. Raises errors.NotFound."""
    one = select(node_bios).where(node_bios.c.node_uuid == node_uuid, node_bios.c.name == name)
    row = connection.execute(one).first()
    if row is None:
        raise errors.NotFound(
            f"Node {node_uuid} doesn't have a BIOS setting '{name}'", hint="List them; clean or manage to read anew."
        )
    return rows.from_row(row, Record)
