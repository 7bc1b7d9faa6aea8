"""Another service's database, read only and in one consistent view for as long as it is open.

May not: write, or know what a table means. Invariant: a table or column that this version of the other service lacks
reads as absent; nobody has to know which version it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy
from sqlalchemy import ColumnElement, Connection, Executable, column, exc, func, pool, select, table

from ingot.domain import errors, extras

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
Row = dict[str, Any]
Run = Callable[[Callable[[Connection], Any]], Any]
"""Runs a function on the one connection that sees the view."""

_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "mysql": "mysql+asyncmy",
    "mariadb": "mysql+asyncmy",
    "postgresql": "postgresql+asyncpg",
}
_VIEW = {
    "sqlite": ("BEGIN",),
    "mysql": (
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
    "postgresql": ("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",),
}
_MANY = 500
"""Values in one list of a condition: SQLite's limit was 999 for long."""
_PATIENCE = 120.0
"""Seconds for one statement."""


class Source:
    """The open database. ``shown``: its URL without the password; ``version``: of its schema, "" if it does not say."""

    def __init__(self, run: Run, shown: str) -> None:
        self._run = run
        self._tables: dict[str, list[str]] = run(_begin)
        self.shown = shown
        found = [str(row["version_num"]) for row in self.rows("alembic_version")]
        self.version = found[0] if found else ""

    def has(self, name: str) -> bool:
        """Whether there is such a table."""
        return name in self._tables

    def numbers(self, name: str, key: str) -> dict[Any, int]:
        """How many rows a table has for each value of a column."""
        if key not in self._tables.get(name, []):
            return {}
        statement = select(_column(key), func.count()).select_from(table(name)).group_by(_column(key))
        return {row[0]: row[1] for row in self._all(statement)}

    def rows(self, name: str, *, only: Iterable[str] = (), where: tuple[str, list[Any]] | None = None) -> list[Row]:
        """The rows of a table in the order they were made; [] when there is no such table.

        ``only``: these columns, as far as they exist. ``where``: a column and the values it may have.
        """
        present = self._tables.get(name, [])
        wanted = [one for one in present if not only or one in set(only)]
        if not wanted or (where is not None and where[0] not in present):
            return []
        order = "id" if "id" in present else present[0]
        statement = select(*(_column(one) for one in wanted)).select_from(table(name)).order_by(_column(order))
        found: list[Row] = []
        for values in _parts(where):
            part = statement if where is None else statement.where(_column(where[0]).in_(values))
            found += [dict(zip(wanted, row, strict=True)) for row in self._all(part)]
        return found

    def _all(self, statement: Executable) -> list[Any]:
        return self._run(lambda connection: list(connection.execute(statement)))


def _begin(connection: Connection) -> dict[str, list[str]]:
    """Begin the view; every table with its columns."""
    for line in _VIEW[connection.dialect.name]:
        connection.exec_driver_sql(line)
    inspector = sqlalchemy.inspect(connection)
    return {name: [found["name"] for found in inspector.get_columns(name)] for name in inspector.get_table_names()}


@contextlib.contextmanager
def opened(url: str) -> Generator[Source]:
    """Open the database ``url`` names (sqlite:///FILE, mysql://..., postgresql://...) for reading.

    Raises errors.Invalid (no such URL or kind), Unreachable.
    """
    parsed, shown = _parse(url)
    way = _in_file if parsed.get_backend_name() == "sqlite" else _on_server
    with contextlib.ExitStack() as stack:
        with _told(shown):
            run = stack.enter_context(way(parsed))

        def asked(unit: Callable[[Connection], Any]) -> Any:
            with _told(shown):
                return run(unit)

        yield Source(asked, shown)


@contextlib.contextmanager
def _told(shown: str) -> Generator[None]:
    """Turn what goes wrong with that database into a sentence; what its reader does with the rows is not its fault."""
    try:
        yield
    except (exc.DBAPIError, OSError) as error:
        cause = error.orig if isinstance(error, exc.DBAPIError) else error
        text = f"The database {shown} cannot be read: {str(cause) or type(cause).__name__}"
        raise errors.Unreachable(text, hint="Check address, name, user and password, and that it runs.") from error


@contextlib.contextmanager
def _in_file(url: sqlalchemy.URL) -> Generator[Run]:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=pool.NullPool)
    with contextlib.closing(engine.connect()) as connection:
        yield lambda unit: unit(connection)


@contextlib.contextmanager
def _on_server(url: sqlalchemy.URL) -> Generator[Run]:
    """The drivers of servers are asynchronous, so their connection lives in an event loop in a thread of its own."""
    engine = _server_engine(url)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="import", daemon=True)
    thread.start()

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(_PATIENCE)

    with contextlib.ExitStack() as stack:
        stack.callback(loop.close)
        stack.callback(thread.join, _PATIENCE)
        stack.callback(loop.call_soon_threadsafe, loop.stop)

        async def connect() -> Any:
            return await engine.connect()

        connection = wait(connect())
        stack.callback(lambda: wait(connection.close()))
        yield lambda unit: wait(connection.run_sync(unit))


def _server_engine(url: sqlalchemy.URL) -> AsyncEngine:
    try:
        from sqlalchemy.ext.asyncio import create_async_engine

        return create_async_engine(url, isolation_level="AUTOCOMMIT", poolclass=pool.NullPool)
    except ImportError as error:
        extra = extras.POSTGRESQL if url.get_backend_name() == "postgresql" else extras.MARIADB
        raise extras.missing(extra, "Reading that database", error) from error


def _column(name: str) -> ColumnElement[Any]:
    return column(name)


def _parse(url: str) -> tuple[sqlalchemy.URL, str]:
    """The URL for reading, and how it is shown."""
    try:
        parsed = sqlalchemy.make_url(url)
        shown = parsed.render_as_string(hide_password=True)
        kind = parsed.get_backend_name()
    except exc.ArgumentError as error:
        hint = "Write it like sqlite:////var/lib/ironic/ironic.sqlite or mysql://ironic:PASSWORD@db.example/ironic."
        raise errors.Invalid("This is no URL of a database", hint=hint) from error
    if kind not in _DRIVERS:
        raise errors.Invalid(f"ingot cannot read {kind} databases", hint="Use sqlite, mysql or postgresql.")
    if kind == "sqlite":
        path = f"file:{parsed.database}"
        return sqlalchemy.URL.create("sqlite+pysqlite", database=path, query={"mode": "ro", "uri": "true"}), shown
    return parsed.set(drivername=_DRIVERS[kind]), shown


def _parts(where: tuple[str, list[Any]] | None) -> Iterable[list[Any]]:
    if where is None:
        return [[]]
    return (where[1][start : start + _MANY] for start in range(0, len(where[1]), _MANY))
