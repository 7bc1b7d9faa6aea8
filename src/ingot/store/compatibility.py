"""Programs of two versions on one database: which of them may work with its tables.

Each program knows the newest version of the tables it was written for; the database says the oldest whose programs
still work with it. May not: migrate. Invariant: a program that the database has outgrown finds out before it writes
anything at its start, and within a few seconds while it runs.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from ingot.domain import errors
from ingot.store.schema import compatibility


def find_oldest(connection: Connection) -> str | None:
    """The oldest version whose programs work with these tables; None where the database does not say."""
    try:
        return connection.execute(select(compatibility.c.oldest)).scalar()
    except SQLAlchemyError as error:
        if getattr(error, "connection_invalidated", False):
            raise
        return None  # tables from before it was said


def set_oldest(connection: Connection, oldest: str) -> None:
    """Say it."""
    connection.execute(delete(compatibility))
    connection.execute(insert(compatibility).values(oldest=oldest))


def check(connection: Connection, newest_known: str) -> None:
    """Raises errors.Conflict where the tables have become too new for a program that knows them up to there."""
    oldest = connection.execute(select(compatibility.c.oldest)).scalar()
    if oldest is not None and oldest > newest_known:
        raise errors.Conflict(
            f"The database was upgraded: programs before version {oldest} cannot work with it, and this one is of "
            f"{newest_known}",
            hint="Install the newer ingot on this host and start it.",
        )
