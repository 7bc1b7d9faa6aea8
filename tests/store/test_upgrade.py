"""Bringing a file to the present schema: to exactly that, once, and what is told where it cannot be."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from ingot.domain import errors
from ingot.store import sqlite, upgrade
from ingot.store.schema import metadata


async def test_migrations_lead_to_exactly_the_schema(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    assert upgrade.upgrade(tmp_path / "new.db")
    assert not upgrade.upgrade(tmp_path / "new.db")
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    wanted = sqlalchemy.create_engine("sqlite://")
    metadata.create_all(wanted)
    for table in metadata.tables:
        assert columns(engine, table) == columns(wanted, table)
    engine.dispose()
    wanted.dispose()


def columns(engine: sqlalchemy.Engine, table: str) -> list[tuple[object, ...]]:
    """(name, type, not null, default, key) of each column, and the indexes, as SQLite itself tells them."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"PRAGMA table_info({table})").all()
        indexes = connection.exec_driver_sql(f"PRAGMA index_list({table})").all()
        keys = connection.exec_driver_sql(f"PRAGMA foreign_key_list({table})").all()
    uniques = sorted((row.unique, row.origin) for row in indexes)
    return [*sorted(tuple(row)[1:] for row in found), *uniques, *sorted(tuple(row)[2:] for row in keys)]


def test_the_head_is_the_end_of_the_one_chain() -> None:
    versions = Path(upgrade.__file__).parent / "migrations" / "versions"
    names = [re.findall(r'^(?:down_)?revision = "?(.*?)"?$', file.read_text(), re.M) for file in versions.glob("v*.py")]
    before = dict(names)
    assert len(set(before.values())) == len(before)
    assert set(before) - set(before.values()) == {upgrade.HEAD}


def test_a_newer_database_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "ingot.db"
    upgrade.upgrade(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE compatibility SET oldest = '9999'")
    connection.close()
    with pytest.raises(errors.Conflict, match="at version 9999, newer than this program knows") as refused:
        upgrade.upgrade(path)
    assert "Start the newer ingot, or restore a backup" in refused.value.sentence()


def test_a_file_that_is_no_database_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "ingot.db"
    path.write_bytes(b"no database at all " * 500)
    for use in (upgrade.current, upgrade.upgrade):
        with pytest.raises(errors.StoreDown, match="cannot be used: file is not a database") as refused:
            use(path)
        assert "Restore a backup" in refused.value.sentence()
    assert path.read_bytes().startswith(b"no database at all")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """A new file, and who has begun to make it: SQLite itself does not wait for its end, whatever it is told."""
    path = tmp_path / "ingot.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield path, other
    other.close()


def test_a_new_file_that_another_program_holds_is_waited_for(held: tuple[Path, sqlite3.Connection]) -> None:
    path, other = held
    refused: list[str] = []
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as plain:

        def execute(sql: str) -> None:
            try:
                plain.execute(sql)
            except sqlite3.OperationalError as error:
                refused.append(str(error))
                if len(refused) == 3:
                    other.execute("ROLLBACK")
                raise

        sqlite.write_ahead(execute, 60)
        assert refused == ["database is locked"] * 3
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_so_does_an_upgrade(held: tuple[Path, sqlite3.Connection]) -> None:
    path, other = held
    leaves = threading.Timer(0.5, other.execute, ["ROLLBACK"])
    leaves.start()
    assert upgrade.upgrade(path)
    leaves.join()
    assert upgrade.current(path) == upgrade.HEAD


def test_a_file_that_is_held_for_too_long_is_told(tmp_path: Path) -> None:
    asked: list[str] = []

    def execute(sql: str) -> None:
        asked.append(sql)
        raise sqlite3.OperationalError("database is locked")

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite.write_ahead(execute, 0.1)
    assert 2 <= len(asked) <= 10
