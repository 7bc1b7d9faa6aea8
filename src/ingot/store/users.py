"""Local users in the database. Passwords are stored as bcrypt hashes only."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from ingot.domain import errors
from ingot.store import rows
from ingot.store.schema import users


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may call the API. ``role``: one of domain/roles.py; ``project``: where, None: everywhere."""

    name: str
    password_hash: str
    role: str = "admin"
    project: str | None = None
    created_at: str | None = None

    def __repr__(self) -> str:
        return f"User({self.name!r}, role={self.role!r}, project={self.project!r})"


def put(connection: Connection, value: User) -> None:
    """Create the user, or change password, role and project of the one with this name."""
    values = {"password_hash": value.password_hash, "role": value.role, "project": value.project}
    changed = connection.execute(update(users).where(users.c.name == value.name).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(users).values(name=value.name, created_at=rows.now(), **values))


def find(connection: Connection, name: str) -> User | None:
    """The user with this name, or None."""
    row = connection.execute(select(users).where(users.c.name == name)).first()
    return None if row is None else rows.from_row(row, User)


def list_all(connection: Connection) -> list[User]:
    """Every user by name."""
    return [rows.from_row(row, User) for row in connection.execute(select(users).order_by(users.c.name))]


def destroy(connection: Connection, name: str) -> None:
    """Remove a user. Raises NotFound."""
    if connection.execute(delete(users).where(users.c.name == name)).rowcount == 0:
        raise errors.NotFound(f"There is no user {name}.")
