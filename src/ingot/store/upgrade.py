"""Bringing a database to the present schema, by one linear history of migrations.

May not: lose data. Invariant: after ``upgrade`` the tables equal store/schema.py (a test proves it).
Alembic is imported only when something has to be done: it costs a tenth of a second at every start otherwise.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy
from sqlalchemy import exc

from ingot.domain import errors
from ingot.store import triggers

HEAD = "0017"
"""The newest migration; a test compares it with the files."""


def current(path: Path) -> str | None:
    """The migration the database at ``path`` stands at, None when it is new."""
    if not path.exists():
        return None
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        try:
            found = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
        except exc.OperationalError:
            found = None
    engine.dispose()
    return found


def upgrade(path: Path) -> bool:
    """Make or bring up the database at ``path``; whether anything had to be done.

    Raises errors.Conflict when a newer ingot made it.
    """
    present = current(path)
    if present == HEAD:
        return False
    if present is not None and present not in _known():
        raise errors.Conflict(
            f"The database {path} is at version {present}, newer than this program knows ({HEAD})",
            hint="Start the newer ingot, or restore a backup made by this version.",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    _migrate(path)
    return True


def _known() -> set[str]:
    """The migrations there are. They need not be in the order of their numbers."""
    return {path.name[1:5] for path in (Path(__file__).parent / "migrations/versions").glob("v*.py")}


def _migrate(path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    # One transaction by hand: Python's driver would end it before each CREATE, and a kill would leave half a schema.
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT", connect_args={"timeout": 60})
    with engine.connect() as connection:
        # Stays with the file; a store that had to switch could not wait for another process that holds the database.
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        triggers.install(connection)
        connection.exec_driver_sql("COMMIT")
    engine.dispose()
