"""The drivers of SQLite, PostgreSQL and MariaDB behind one door: statements in their own SQL, values in order.

Why: a server's driver waits with ``await`` and store functions do not, so each statement changes greenlets once; all
else that SQLAlchemy puts around it costs more than the driver. May not: know a table. Invariant: a failure is raised
as the DBAPI error of SQLAlchemy's dialect.
"""

from __future__ import annotations

import functools
import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.util import await_only

T = TypeVar("T")
_LONGEST = 500_000
"""Letters of a text that holds more than one statement; MariaDB takes 16 MiB unless it is told otherwise."""
_BY_KEY = re.compile(r"SELECT (?P<columns>.*)\s+FROM (\w+)\s+WHERE (?P<key>\2\.(?P<name>\w+)) = %s", re.DOTALL)
_PREPARED = 500
"""Statements that a connection to PostgreSQL keeps prepared."""


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """Rows changed."""
        ...

    def fetchone(self) -> Any:
        """The first row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Every row."""
        ...

    def close(self) -> None:
        """No more is asked."""
        ...


class Driver(Protocol):
    """One connection."""

    def execute(self, sql: str, values: Sequence[Any]) -> Cursor:
        """Run a statement."""
        ...

    def executemany(self, sql: str, lines: Sequence[Sequence[Any]]) -> Cursor:
        """Run a statement once with each line of values; nobody asks what it gave."""
        ...

    def execute_each(self, sql: str, lines: Sequence[Sequence[Any]], reads: bool) -> list[Cursor]:
        """Run a statement once with each line of values; what each gave. ``reads``: it gives rows."""
        ...

    def frame(self, statements: Sequence[str]) -> None:
        """Run statements that have neither values nor results."""
        ...


class Rows:
    """A cursor whose rows are here already."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: Sequence[Any], rowcount: int) -> None:
        self._rows, self.rowcount = rows, rowcount

    def fetchone(self) -> Any:
        """The first row, or None."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        """Every row."""
        return list(self._rows)

    def close(self) -> None:
        """Nothing is open."""


class _Sqlite:
    def __init__(self, connection: Any) -> None:
        self.execute, self.executemany = connection.execute, connection.executemany

    def execute_each(self, sql: str, lines: Sequence[Sequence[Any]], reads: bool) -> list[Cursor]:
        return [self.execute(sql, line) for line in lines]

    def frame(self, statements: Sequence[str]) -> None:
        for each in statements:
            self.execute(each)


class Server(ABC):
    """A connection to a server. ``adapted``: SQLAlchemy's around the driver's, which translates its errors."""

    def __init__(self, adapted: Any, raw: Any) -> None:
        self._adapted, self._raw = adapted, raw

    @abstractmethod
    async def read(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """The rows of a statement, without a greenlet. Raises the driver's own errors."""

    @abstractmethod
    async def ask(self, sql: str, values: Sequence[Any]) -> Rows:
        """What a statement gives, likewise."""

    def execute(self, sql: str, values: Sequence[Any]) -> Cursor:
        """As ``Driver``'s."""
        return self._wait(self.ask(sql, values))

    def _wait(self, asked: Awaitable[T]) -> T:
        try:
            return await_only(asked)
        except Exception as error:
            self._adapted._handle_exception(error)  # as SQLAlchemy's own cursors do
            raise


class _PostgreSQL(Server):
    def __init__(self, adapted: Any, raw: Any) -> None:
        super().__init__(adapted, raw)
        self._prepared: dict[str, Any] = {}

    async def read(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        return await self._run(sql, operator.methodcaller("fetch", *values))

    async def ask(self, sql: str, values: Sequence[Any]) -> Rows:
        rows = await self.read(sql, values)
        words = self._prepared[sql].get_statusmsg().rpartition(" ")[2]  # "UPDATE 1", "INSERT 0 1", "BEGIN"
        return Rows(rows, int(words) if words.isdigit() else -1)

    def executemany(self, sql: str, lines: Sequence[Sequence[Any]]) -> Cursor:
        self._wait(self._run(sql, operator.methodcaller("executemany", lines)))
        return Rows((), -1)

    def execute_each(self, sql: str, lines: Sequence[Sequence[Any]], reads: bool) -> list[Cursor]:
        if len(lines) == 1:
            return [self.execute(sql, lines[0])]
        # Only rows come back of many lines, so the number of its line is in each row: of what was read or changed.
        # The text is the store's own statement and holds no value: those are parameters.
        number = f"${len(lines[0]) + 1}::int"
        numbered = f"SELECT q.*, {number} FROM ({sql}) q" if reads else f"{sql} RETURNING {number}"  # noqa: S608 - as above
        given = [(*line, at) for at, line in enumerate(lines)]
        told: list[list[Any]] = [[] for _ in lines]
        for row in self._wait(self._run(numbered, operator.methodcaller("fetchmany", given))):
            told[row[-1]].append(row[:-1])
        return [Rows(rows if reads else (), len(rows)) for rows in told]

    def frame(self, statements: Sequence[str]) -> None:
        done = self._wait(self._raw.execute(";".join(statements)))
        if statements[-1] == "COMMIT" and done == "ROLLBACK":  # its answer where a statement has failed before
            raise OSError("a statement of the transaction had failed, so nothing of it was kept")

    async def _run(self, sql: str, call: Callable[[Any], Awaitable[Any]]) -> Any:
        """What ``call`` gives of the prepared statement."""
        statement = self._prepared.get(sql) or await self._prepare(sql)
        try:
            return await call(statement)
        except BaseException:
            self._prepared.pop(sql, None)  # the tables may have changed since
            raise

    async def _prepare(self, sql: str) -> Any:
        if len(self._prepared) >= _PREPARED:
            self._prepared.clear()
        made = self._prepared[sql] = await self._raw.prepare(sql)
        return made


class _MariaDB(Server):
    async def read(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        cursor = self._raw.cursor()
        await cursor.execute(sql, values)
        return await cursor.fetchall()

    async def ask(self, sql: str, values: Sequence[Any]) -> Rows:
        cursor = self._raw.cursor()
        await cursor.execute(sql, values)
        return Rows(await cursor.fetchall() if cursor.description else (), cursor.rowcount)

    def executemany(self, sql: str, lines: Sequence[Sequence[Any]]) -> Cursor:
        self._wait(self._raw.cursor().executemany(sql, lines))
        return Rows((), -1)

    def execute_each(self, sql: str, lines: Sequence[Sequence[Any]], reads: bool) -> list[Cursor]:
        if len(lines) == 1:
            return [self.execute(sql, lines[0])]
        return self._wait(self._read_each(sql, lines) if reads else self._together(sql, lines))

    def frame(self, statements: Sequence[str]) -> None:
        self._wait(self._frame(";".join(statements)))

    async def _read_each(self, sql: str, lines: Sequence[Sequence[Any]]) -> list[Cursor]:
        """Rows by their key in one message for all: the message and the names of its columns cost more than a row."""
        found = await self._read_by_key(sql, lines)
        # What is not among them is asked for by itself: the server may take two keys for the same.
        return [found.get(line[-1]) or await self.ask(sql, line) for line in lines]

    async def _read_by_key(self, sql: str, lines: Sequence[Sequence[Any]]) -> dict[Any, Cursor]:
        """The rows of each key; of none where that is not how the statement finds them."""
        head, name = _up_to_key(sql)
        first, keys = lines[0][:-1], [line[-1] for line in lines]
        if not head or any(line[:-1] != first for line in lines):
            return {}
        cursor = self._raw.cursor()
        await cursor.execute(f"{head} IN ({', '.join(['%s'] * len(keys))})", [*first, *keys])
        rows: list[Any] = await cursor.fetchall()
        place = [column[0] for column in cursor.description].index(name)
        told: dict[Any, list[Any]] = {}
        for row in rows:
            told.setdefault(row[place], []).append(row)
        return {key: Rows(some, len(some)) for key, some in told.items()}

    async def _together(self, sql: str, lines: Sequence[Sequence[Any]]) -> list[Cursor]:
        """Changes as one text; its answers are a few bytes each."""
        cursor = self._raw.cursor()
        told: list[Cursor] = []
        for text in _texts([cursor.mogrify(sql, line) for line in lines]):
            await cursor.execute(text)
            told.append(Rows((), cursor.rowcount))
            while await cursor.nextset():
                told.append(Rows((), cursor.rowcount))
        return told

    async def _frame(self, sql: str) -> None:
        cursor = self._raw.cursor()
        await cursor.execute(sql)
        while await cursor.nextset():
            pass


@functools.lru_cache(256)
def _up_to_key(sql: str) -> tuple[str, str]:
    """A statement that finds rows by a column which it shows: its text up to that one, and the column's name."""
    found = _BY_KEY.fullmatch(sql)
    shown = found and re.search(rf"(\A|, ){found['key']}(,|\Z)", found["columns"])
    return (sql.removesuffix(" = %s"), found["name"]) if found and shown else ("", "")


def _texts(statements: list[str]) -> Iterator[str]:
    """Statements put together, each text no longer than a server takes for sure."""
    text = ""
    for one in statements:
        if text and len(text) + len(one) > _LONGEST:
            yield text
            text = ""
        text = f"{text};{one}" if text else one
    yield text


def of(driver: str, connection: PoolProxiedConnection) -> Driver:
    """The way past SQLAlchemy for a connection that it opened; ``driver``: the name it calls the driver by."""
    raw = connection.driver_connection
    if driver == "pysqlite":
        return cast("Driver", _Sqlite(raw))
    return (_PostgreSQL if driver == "asyncpg" else _MariaDB)(connection.dbapi_connection, raw)
