"""Bringing a file to the present schema: to exactly that, once, and what is told where it cannot be."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
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


def test_a_new_file_that_another_program_holds_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, refused = tmp_path / "ingot.db", list[str]()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # SQLite itself does not wait for its end, whatever it is told
    write_ahead = sqlite.write_ahead

    def watched(execute: Callable[[str], object], patience: float) -> None:
        def execute_and_count(sql: str) -> None:
            try:
                execute(sql)
            except sqlalchemy.exc.OperationalError as error:
                refused.append(str(error))
                if len(refused) == 3:
                    other.execute("ROLLBACK")
                raise

        write_ahead(execute_and_count, patience)

    monkeypatch.setattr(sqlite, "write_ahead", watched)
    assert upgrade.upgrade(path)
    other.close()
    assert upgrade.current(path) == upgrade.HEAD
    assert len(refused) == 3
    assert "database is locked" in refused[0]


def test_a_file_that_is_held_for_too_long_is_told(tmp_path: Path) -> None:
    asked: list[str] = []

    def execute(sql: str) -> None:
        asked.append(sql)
        raise sqlite3.OperationalError("database is locked")

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite.write_ahead(execute, 0.1)
    assert 2 <= len(asked) <= 10
