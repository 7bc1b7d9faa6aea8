"""Bringing a database to the present schema, by one linear history of migrations.

May not: lose data. Invariant: after ``upgrade`` the tables equal store/schema.py (a test proves it on each database).
Alembic is imported only when something has to be done: it costs a tenth of a second at every start otherwise.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, exc

from ingot.domain import errors
from ingot.store import place, triggers
from ingot.store.place import Place

HEAD = "0017"
"""The newest migration; a test compares it with the files."""
_PATIENCE = 60.0
"""Seconds to wait for the server, and for another process that upgrades."""
_VERSION = sqlalchemy.text("SELECT version_num FROM alembic_version")
_ALONE = {
    "postgresql": "SELECT pg_advisory_xact_lock(hashtext('ingot upgrade'))",
    "mariadb": f"SELECT GET_LOCK(CONCAT('ingot upgrade ', DATABASE()), {_PATIENCE:.0f})",
}


def current(where: Place) -> str | None:
    """The migration the database stands at, None when it is new. Raises errors.StoreDown for a server that is away."""
    if not isinstance(where, Path):
        from ingot.store import server

        return server.run_once(where, _version, _PATIENCE)
    if not where.exists():
        return None
    engine = sqlalchemy.create_engine(f"sqlite:///{where}")
    with engine.connect() as connection:
        found = _version(connection)
    engine.dispose()
    return found


def upgrade(where: Place) -> bool:
    """Make or bring up the database; whether anything had to be done.

    Raises errors.Conflict when a newer ingot made it.
    """
    present = current(where)
    if present == HEAD:
        return False
    if present is not None and present not in _known():
        raise errors.Conflict(
            f"The database {place.shown(where)} is at version {present}, newer than this program knows ({HEAD})",
            hint="Start the newer ingot, or restore a backup made by this version.",
        )
    if isinstance(where, Path):
        where.parent.mkdir(parents=True, exist_ok=True)
        _migrate_file(where)
    else:
        from ingot.store import server

        server.run_once(where, _migrate_server, _PATIENCE)
    return True


def _version(connection: Connection) -> str | None:
    try:
        return connection.execute(_VERSION).scalar()
    except (exc.OperationalError, exc.ProgrammingError) as error:
        if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
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
    triggers.install(connection)


def _migrate_file(path: Path) -> None:
    # One transaction by hand: Python's driver would end it before each CREATE, and a kill would leave half a schema.
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT", connect_args={"timeout": 60})
    with engine.connect() as connection:
        # Stays with the file; a store that had to switch could not wait for another process that holds the database.
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _migrate(connection)
        connection.exec_driver_sql("COMMIT")
    engine.dispose()


def _migrate_server(connection: Connection) -> None:
    """Whoever comes second waits, and finds the work done.

    On PostgreSQL it is one transaction. MariaDB commits each statement that changes a table, whatever it is told.
    """
    connection.exec_driver_sql("BEGIN")
    connection.exec_driver_sql(_ALONE[connection.dialect.name])
    if connection.dialect.name == "mariadb":
        # Names are told apart by every letter, as on the other databases.
        connection.exec_driver_sql("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
    _migrate(connection)
    connection.exec_driver_sql("COMMIT")
