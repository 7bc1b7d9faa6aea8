"""Conductors in the database: who is there, since when, with which drivers. May not: decide who is dead."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, insert, select, update

from ingot.domain import errors, hashring
from ingot.store import rows
from ingot.store.schema import conductors


class Conductor(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process; ``boot_id`` changes at every start, ``seen_at`` in epoch seconds."""

    hostname: str
    boot_id: str
    conductor_group: str = ""
    drivers: tuple[str, ...] = ()
    online: bool = True
    seen_at: float = 0.0
    created_at: str | None = None
    updated_at: str | None = None


def register(connection: Connection, value: Conductor) -> str | None:
    """Enter a starting conductor; the boot id of the process that had this hostname before, None if new."""
    before = connection.execute(select(conductors).where(conductors.c.hostname == value.hostname)).first()
    row = rows.to_row(value, conductors, created_at=rows.now(), updated_at=rows.now())
    if before is None:
        connection.execute(insert(conductors).values(row))
        return None
    del row["created_at"]
    connection.execute(update(conductors).where(conductors.c.hostname == value.hostname).values(row))
    return before.boot_id


def beat(connection: Connection, hostname: str, boot_id: str, at: float, *, online: bool = True) -> bool:
    """Note that a conductor lives; False when another process took over its hostname."""
    statement = update(conductors).where(conductors.c.hostname == hostname, conductors.c.boot_id == boot_id)
    values = {"seen_at": at, "online": online, "updated_at": rows.now()}
    return connection.execute(statement.values(values)).rowcount == 1


def list_all(connection: Connection) -> list[Conductor]:
    """Every conductor by hostname."""
    found = connection.execute(select(conductors).order_by(conductors.c.hostname))
    return [rows.from_row(row, Conductor) for row in found]


def get(connection: Connection, hostname: str) -> Conductor:
    """One conductor. Raises NotFound."""
    row = connection.execute(select(conductors).where(conductors.c.hostname == hostname)).first()
    if row is None:
        raise errors.NotFound(f"Conductor {hostname} could not be found.")
    return rows.from_row(row, Conductor)


def find_ring(connection: Connection, since: float) -> hashring.Ring:
    """The ring of those who gave a sign of life after ``since``."""
    groups: dict[str, list[str]] = {}
    for one in list_all(connection):
        if one.online and one.seen_at > since:
            groups.setdefault(one.conductor_group.lower(), []).append(one.hostname)
    return hashring.ring(groups)


def list_seen(connection: Connection, since: float) -> list[str]:
    """Those who gave a sign of life after ``since``, by hostname."""
    # No other column: an upgrade asks, and the table is of an older version then.
    alive = select(conductors.c.hostname).where(conductors.c.online, conductors.c.seen_at > since)
    return list(connection.execute(alive.order_by(conductors.c.hostname)).scalars())
