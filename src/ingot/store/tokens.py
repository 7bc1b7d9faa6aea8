"""Tokens of local users in the database: what proves a caller instead of a password. Only digests are stored."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, insert, select

from ingot.domain import errors
from ingot.store import rows
from ingot.store.schema import tokens, users
from ingot.store.users import User, find


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A right to call the API in a user's name. ``role``: at most this; ``expires_at``: epoch seconds."""

    id: str
    user_name: str
    label: str
    digest: str
    role: str
    expires_at: float
    created_at: str | None = None

    def __repr__(self) -> str:
        return f"Token({self.id!r}, user_name={self.user_name!r}, role={self.role!r})"


def create(connection: Connection, value: Token) -> None:
    """Store a token. Raises NotFound when there is no such user."""
    if connection.execute(select(users.c.name).where(users.c.name == value.user_name)).first() is None:
        raise errors.NotFound(f"There is no user {value.user_name}.", hint="See: ingot user list.")
    connection.execute(insert(tokens).values(rows.to_row(value, tokens, created_at=rows.now())))


def find_caller(connection: Connection, digest: str) -> tuple[Token, User] | None:
    """The token with this digest, whether it has ended or not, and whose it is; None when there is none."""
    row = connection.execute(select(tokens).where(tokens.c.digest == digest)).first()
    if row is None:
        return None
    user = find(connection, row.user_name)
    return None if user is None else (rows.from_row(row, Token), user)


def list_all(connection: Connection, user_name: str | None = None) -> list[Token]:
    """Every token, or those of one user, by user and time."""
    statement = select(tokens).order_by(tokens.c.user_name, tokens.c.created_at)
    if user_name is not None:
        statement = statement.where(tokens.c.user_name == user_name)
    return [rows.from_row(row, Token) for row in connection.execute(statement)]


def destroy(connection: Connection, ident: str) -> None:
    """Remove the token with this id. Raises NotFound."""
    if connection.execute(delete(tokens).where(tokens.c.id == ident)).rowcount == 0:
        raise errors.NotFound(f"There is no token {ident}.", hint="See: ingot user token list.")


def forget_ended(connection: Connection, now: float) -> int:
    """Remove the tokens that ended before ``now`` (epoch seconds); how many."""
    return connection.execute(delete(tokens).where(tokens.c.expires_at < now)).rowcount
