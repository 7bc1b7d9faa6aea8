"""Upstream's database on a server: the tables its models declare there, and the rows that it wrote into SQLite."""

from __future__ import annotations

import asyncio
import datetime
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, MetaData, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import programs

# Its environment has no driver for servers; to write the statements none is needed.
_DECLARED = """
import sys
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable
from ironic.db.sqlalchemy import models
dialect = {"mysql": mysql, "postgresql": postgresql}[sys.argv[1]].dialect()
print("\\0".join(str(CreateTable(one).compile(dialect=dialect)) for one in models.Base.metadata.sorted_tables))
"""
_DRIVERS = {"postgresql": "postgresql+asyncpg", "mariadb": "mysql+asyncmy"}


def copy(database: Path, url: str) -> None:
    """Make upstream's tables in the empty database ``url`` and fill them with the rows of its SQLite file."""
    target = make_url(url)
    kind = target.get_backend_name()
    told = [programs.upstream("python"), "-c", _DECLARED, "postgresql" if kind == "postgresql" else "mysql"]
    declared = subprocess.run(told, capture_output=True, text=True, check=True, timeout=60).stdout.split("\0")

    async def fill() -> None:
        engine = create_async_engine(target.set(drivername=_DRIVERS[kind]), poolclass=NullPool)
        async with engine.begin() as connection:
            for statement in declared:
                await connection.exec_driver_sql(statement)
            await connection.run_sync(_fill, database)
        await engine.dispose()

    asyncio.run(fill())


def _fill(connection: Connection, database: Path) -> None:
    known = MetaData()
    known.reflect(connection)
    with closing(sqlite3.connect(database)) as source:
        source.row_factory = sqlite3.Row
        for table in known.sorted_tables:
            found = [dict(row) for row in source.execute(f'SELECT * FROM "{table.name}"')]
            rows = [{key: _value(table.c[key], value) for key, value in row.items()} for row in found]
            if rows:
                connection.execute(table.insert(), rows)


def _value(column: sqlalchemy.Column[Any], value: Any) -> Any:
    """SQLite keeps times as text and truth as a number."""
    if value is not None and isinstance(column.type, sqlalchemy.DateTime):
        return datetime.datetime.fromisoformat(value)
    return bool(value) if value is not None and isinstance(column.type, sqlalchemy.Boolean) else value
