"""A connection that takes the short way to the driver for statements that have a plan (``store/plans.py``).

What has none goes SQLAlchemy's way. May not: know a table. Invariant: rows and errors are those that SQLAlchemy gives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Executable, exc
from sqlalchemy.sql.expression import SelectBase

from ingot.store import drivers
from ingot.store.plans import Asked, Values, plan

T = TypeVar("T")


class QuickConnection(Connection):
    """A connection whose ``execute`` and ``exec_driver_sql`` take the short way where there is one."""

    touched = False
    """Whether there is something to take back since this was last set to False: a write, or a statement that failed."""
    _driver: drivers.Driver | None = None

    def execute(  # pyright: ignore[reportIncompatibleMethodOverride]  # one kind of values, no options
        self, statement: Executable, parameters: Values | Sequence[Values] | None = None
    ) -> CursorResult[Any]:
        """As SQLAlchemy's."""
        if not isinstance(statement, SelectBase):
            self.touched = True
        asked = plan(statement, parameters, self.dialect)
        if asked is None:
            return self.long_way(statement, parameters)
        driver = self._driver or self._connect()
        sql = asked.plan.sql
        if asked.whole:
            cursor = self.ask(sql, driver.execute, sql, asked.lines[0])
        else:
            cursor = self.ask(sql, driver.executemany, sql, asked.lines)
        found: Any = Found(self, cursor, asked.plan.row, sql)
        return found

    def execute_each(self, asked: Sequence[Asked]) -> list[Found]:
        """What each of them gives, which all are the same statement, in one message to a server."""
        driver = self._driver or self._connect()
        plan = asked[0].plan
        self.touched = True
        if asked[0].whole:
            cursors = self.ask(plan.sql, driver.execute_each, plan.sql, [one.lines[0] for one in asked], plan.reads)
        else:
            lines = [line for one in asked for line in one.lines]
            cursors = [self.ask(plan.sql, driver.executemany, plan.sql, lines)] * len(asked)
        return [Found(self, cursor, plan.row, plan.sql) for cursor in cursors]

    def look_up(self, asked: Asked) -> Awaitable[Sequence[Any]]:
        """The rows that a server will find, as its driver gives them, without a greenlet. Raises its errors."""
        driver = cast("drivers.Server", self._driver or self._connect())
        return driver.read(asked.plan.sql, asked.lines[0])

    def exec_driver_sql(  # pyright: ignore[reportIncompatibleMethodOverride]  # as above
        self, statement: str, parameters: tuple[Any, ...] = ()
    ) -> CursorResult[Any]:
        """As SQLAlchemy's; rows are plain tuples."""
        self.touched = True
        driver = self._driver or self._connect()
        cursor = self.ask(statement, driver.execute, statement, parameters)
        found: Any = Found(self, cursor, None, statement)
        return found

    def frame(self, *statements: str) -> None:
        """Begin, end or part a transaction: statements without values and rows, in one message to a server."""
        driver = self._driver or self._connect()
        self.ask(statements[-1], driver.frame, statements)

    def invalidate(self, exception: BaseException | None = None) -> None:
        """As SQLAlchemy's."""
        self._driver = None
        super().invalidate(exception)

    def close(self) -> None:
        """As SQLAlchemy's."""
        self._driver = None
        super().close()

    def ask(self, sql: str, call: Callable[..., T], *args: Any) -> T:
        """What a driver answers. Raises its errors as SQLAlchemy does; who is cut off while it waits loses it."""
        try:
            return call(*args)
        except self.dialect.loaded_dbapi.Error as error:
            self.touched = True
            raise self._told(error, sql) from error
        except BaseException as error:
            self.touched = True
            if not isinstance(error, Exception):
                self.invalidate(error)
            raise

    def _told(self, error: Exception, sql: str) -> BaseException:
        usable = not self.closed and not self.invalidated
        adapted: Any = self.connection.dbapi_connection if usable else None
        gone = usable and self.dialect.is_disconnect(cast("Any", error), adapted, None)
        if gone:
            self.invalidate(error)
        known = self.dialect.loaded_dbapi.Error
        return exc.DBAPIError.instance(
            sql, None, error, known, hide_parameters=True, connection_invalidated=gone, dialect=self.dialect
        )

    def long_way(self, statement: Executable, parameters: Any) -> CursorResult[Any]:
        """A statement that has no plan."""
        try:
            return super().execute(statement, parameters)
        except BaseException:
            self.touched = True
            raise

    def _connect(self) -> drivers.Driver:
        if not self.in_transaction():
            self.begin()  # for SQLAlchemy, so that it does not go on with another connection when this one is lost
        self._driver = drivers.of(self.dialect.driver, self.connection)
        return self._driver


class Found:
    """What a statement gave: as much of SQLAlchemy's result as units of work ask for."""

    __slots__ = ("_connection", "_cursor", "_row", "_sql")

    def __init__(
        self,
        connection: QuickConnection,
        cursor: drivers.Cursor,
        row: Callable[[tuple[Any, ...]], Any] | None,
        sql: str,
    ) -> None:
        self._connection, self._cursor, self._row, self._sql = connection, cursor, row, sql

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return self._cursor.rowcount

    def first(self) -> Any:
        """The first row, or None."""
        row = self._connection.ask(self._sql, self._cursor.fetchone)
        self._cursor.close()
        return row if row is None or self._row is None else self._row(row)

    def all(self) -> list[Any]:
        """Every row."""
        rows = self._connection.ask(self._sql, self._cursor.fetchall)
        return rows if self._row is None else [self._row(row) for row in rows]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.all())

    def one(self) -> Any:
        """The only row. Raises as SQLAlchemy's."""
        rows = self.all()
        if len(rows) != 1:
            raise exc.NoResultFound("No row was found") if not rows else exc.MultipleResultsFound("Many rows")
        return rows[0]

    def scalar(self) -> Any:
        """The first value of the first row, or None."""
        row = self.first()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        """The first value of the only row."""
        return self.one()[0]

    def scalars(self) -> Sequence[Any]:
        """The first value of every row."""
        return [row[0] for row in self.all()]
