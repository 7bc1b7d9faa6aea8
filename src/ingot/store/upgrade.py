"""Bringing a database to the present schema, by one linear history of migrations.

May not: lose data. Invariant: after ``upgrade`` the tables equal store/schema.py (a test proves it on each database).
Alembic is imported only when something has to be done: it costs a tenth of a second at every start otherwise.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

import sqlalchemy
from sqlalchemy import Connection, exc

from ingot.domain import errors
from ingot.store import compatibility, conductors, place, triggers
from ingot.store.place import Place

T = TypeVar("T")

HEAD = "0019"
"""The newest migration; a test compares it with the files."""
OLDEST = "0017"
"""The oldest version of the tables whose programs work with the newest. A migration that only adds leaves it as it is;
one that takes away, or gives what is there another meaning, sets it to its own number."""
_SILENT = 60.0
"""Seconds after which a conductor that gives no sign of life does not stand in the way of an upgrade."""
_PATIENCE = 60.0
"""Seconds to wait for the server or who holds the file, and for another process that upgrades."""
_VERSION = sqlalchemy.text("SELECT version_num FROM alembic_version")
_ALONE = {
    "postgresql": "SELECT pg_advisory_xact_lock(hashtext('ingot upgrade'))",
    "mariadb": "SELECT GET_LOCK(CONCAT('ingot upgrade ', DATABASE()), %s)",
}

_UNHURRIED = {
    "postgresql": f"SET idle_in_transaction_session_timeout = '{_PATIENCE:.0f}s'",
    "mariadb": f"SET SESSION idle_transaction_timeout = {_PATIENCE:.0f}",
}
"""On a busy host much time may pass between two statements of an upgrade, longer than a writer may be silent."""
_PATIENT = "SET SESSION idle_transaction_timeout = 86400"
"""For who only holds the lock, on MariaDB: silent while tables are changed, however many rows they have."""


def current(where: Place) -> str | None:
    """The migration the database stands at, None when it is new. Raises errors.StoreDown where it cannot be read."""
    return _ask(where, _version)


def upgrade(where: Place) -> bool:
    """Make or bring up the database; whether anything had to be done. A newer one that bears this program is left.

    Raises errors.Conflict when a newer ingot made it and says that this program cannot work with it, or when conductors
    are at work whose programs could not work with what this one would make of it.
    """
    present = current(where)
    if present == HEAD:
        return False
    if present is not None and present not in _known():
        oldest = _ask(where, compatibility.find_oldest)
        if oldest is not None and oldest <= HEAD:
            return False
        raise errors.Conflict(
            f"The database {place.shown(where)} is at version {present}, newer than this program knows ({HEAD})",
            hint="Start the newer ingot, or restore a backup made by this version.",
        )
    if present is not None and present < OLDEST:
        _refuse_while_in_use(where)
    if isinstance(where, Path):
        where.parent.mkdir(parents=True, exist_ok=True)
        _migrate_file(where)
    else:
        from ingot.store import server

        server.run_once(where, _migrate_server, _PATIENCE)
    return True


def _refuse_while_in_use(where: Place) -> None:
    busy = _ask(where, lambda connection: conductors.list_seen(connection, time.time() - _SILENT))
    if busy:
        raise errors.Conflict(
            f"This program would upgrade the database {place.shown(where)} to version {HEAD}, with which conductors "
            f"that are at work cannot go on: {', '.join(busy)}",
            hint="Stop them and all API processes, then start the new ones.",
        )


def _ask(where: Place, question: Callable[[Connection], T | None]) -> T | None:
    """What a unit reads; None where there is no database yet."""
    if not isinstance(where, Path):
        from ingot.store import server

        return server.run_once(where, question, _PATIENCE)
    if not where.exists():
        return None
    with _opened(where) as connection:
        return question(connection)


@contextlib.contextmanager
def _opened(path: Path) -> Generator[Connection]:
    """A connection to a file, for this one purpose. Raises errors.StoreDown for a file that is held or damaged."""
    from ingot.store import sqlite

    waiting = {"timeout": _PATIENCE}
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT", connect_args=waiting)
    try:
        with engine.connect() as connection:
            yield connection
    except exc.DatabaseError as error:
        raise sqlite.told(error, path) from error
    finally:
        engine.dispose()


def _version(connection: Connection) -> str | None:
    try:
        return connection.execute(_VERSION).scalar()
    except (exc.OperationalError, exc.ProgrammingError) as error:
        if error.connection_invalidated or "locked" in str(error.orig):
            raise
        return None  # there is no such table yet


def _known() -> set[str]:
    """The migrations there are. They need not be in the order of their numbers."""
    return {path.name[1:5] for path in (Path(__file__).parent / "migrations/versions").glob("v*.py")}


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    compatibility.set_oldest(connection, OLDEST)
    triggers.install(connection)


def _migrate_file(path: Path) -> None:
    from ingot.store import sqlite

    # One transaction by hand: Python's driver would end it before each CREATE, and a kill would leave half a schema.
    with _opened(path) as connection:
        sqlite.write_ahead(connection.exec_driver_sql, _PATIENCE)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _migrate(connection)
        connection.exec_driver_sql("COMMIT")


def stand_alone(connection: Connection, patience: float) -> None:
    """Wait until no other process upgrades this database on a server.

    Raises errors.StoreDown after ``patience`` seconds on MariaDB, which then answers 0 instead of an error; on
    PostgreSQL the connection's own limit for locks ends the wait.
    """
    name = connection.dialect.name
    answer = connection.exec_driver_sql(_ALONE[name], (patience,) if name == "mariadb" else ()).scalar()
    if name == "mariadb" and answer != 1:
        raise errors.StoreDown(
            f"Another process has been upgrading the database for more than {patience:g} s",
            hint="Look for another ingot that starts, and try again when it is done.",
        )


@contextlib.contextmanager
def _writers_kept_out(connection: Connection) -> Generator[None]:
    """Hold the lock of those who write (store/server.py) while the context lasts, where there are tables yet.

    Else a writer who has read a table that is to be changed and wants to write to it would be in a deadlock with the
    upgrade. On MariaDB the lock is held by a connection beside, as no transaction outlasts the change of a table: with
    a row that is never committed, the first that writers come to, while the migration can change the one behind it.
    """
    from ingot.store import server

    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        yield
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql(server.LOCK)
        yield
    else:
        with connection.engine.connect() as keeper:
            for statement in (_PATIENT, "BEGIN", "INSERT INTO alembic_version (version_num) VALUES ('')"):
                keeper.exec_driver_sql(statement)
            yield
            with contextlib.suppress(exc.DBAPIError):  # the server has ended it: the row went with it
                keeper.exec_driver_sql("ROLLBACK")


def _migrate_server(connection: Connection) -> None:
    """Whoever comes second waits, and finds the work done.

    On PostgreSQL it is one transaction. MariaDB commits each statement that changes a table, whatever it is told.
    """
    connection.exec_driver_sql(_UNHURRIED[connection.dialect.name])
    connection.exec_driver_sql("BEGIN")
    stand_alone(connection, _PATIENCE)
    if connection.dialect.name == "mariadb":
        # Names are told apart by every letter, as on the other databases.
        connection.exec_driver_sql("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
    with _writers_kept_out(connection):
        _migrate(connection)
        connection.exec_driver_sql("COMMIT")
