"""Statements that are run again and again, without the work that SQLAlchemy does each time.

Why: SQLite needs 5 microseconds for a statement, SQLAlchemy around it 20, and around a server's driver 150
(docs/decisions/0024). A statement that is met a second time is compiled once for all; from then on its values go
straight to the driver. What is met once, or has a shape that is not plain (an IN of any length, text without names),
goes SQLAlchemy's way. May not: know a table. Invariant: SQL, values, rows and errors are those that SQLAlchemy gives.
"""

from __future__ import annotations

import collections
import operator
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
import sqlalchemy
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Delete,
    Dialect,
    Executable,
    Float,
    Insert,
    Select,
    Update,
    exc,
)
from sqlalchemy.sql.expression import SelectBase, TextualSelect

from ingot.store import drivers

T = TypeVar("T")
Values = Mapping[str, Any]
_Process = Callable[[Any], Any]

SHAPES = 256
"""Sets of names that are kept of one statement. There may be any number: callers choose which fields they change."""


class _Plan(msgspec.Struct, frozen=True):
    """One statement for one set of names. ``row``: makes a row with names of the driver's.

    ``take`` gives the values in their order, of ``fixed`` and what the caller gave; ``stored``: which of them are
    stored in another way, and how.
    """

    sql: str
    take: Callable[[Values], tuple[Any, ...]]
    fixed: dict[str, Any]
    stored: tuple[tuple[int, _Process], ...]
    row: Callable[[tuple[Any, ...]], Any] | None

    @property
    def reads(self) -> bool:
        """Whether it gives rows."""
        return self.row is not None


class Asked(msgspec.Struct, frozen=True):
    """A known statement with its values. ``whole``: one line of them, and what it gives is looked at."""

    plan: _Plan
    lines: list[Sequence[Any]]
    whole: bool

    def first(self, rows: Sequence[Any]) -> Any:
        """The first of the driver's rows with names, or None."""
        row = self.plan.row
        return None if not rows else rows[0] if row is None else row(rows[0])


_Plans = dict[tuple[str, ...], _Plan | None]
_plans: dict[str, weakref.WeakKeyDictionary[Executable, _Plans]] = collections.defaultdict(weakref.WeakKeyDictionary)
"""By dialect, statement and the names it is given values for; None: not plain. Empty: the statement was met once."""


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


def plan(
    statement: Executable, parameters: Values | Sequence[Values] | None, dialect: Dialect, *, meet: bool = True
) -> Asked | None:
    """A statement with its values the short way; None where SQLAlchemy has to run it.

    ``meet``: to be False where it may not be run after this, so that one that was never met is not met by this either.
    """
    given: Any = parameters or {}
    lines = cast("list[Values]", given if isinstance(given, list) else [given])
    found = _plan_of(statement, lines[0], dialect, meet)
    if found is None:
        return None
    return Asked(found, [_bound(found, each) for each in lines], lines is not given)


def _bound(plan: _Plan, values: Values) -> Sequence[Any]:
    found = plan.take({**plan.fixed, **values} if plan.fixed else values)
    if not plan.stored:
        return found
    changed = list(found)
    for at, process in plan.stored:
        changed[at] = process(changed[at])
    return changed


def _plan_of(statement: Executable, values: Values, dialect: Dialect, meet: bool) -> _Plan | None:
    """How to run a statement at once; None where SQLAlchemy has to."""
    known = _plans[dialect.name]
    plans = known.get(statement)
    if plans is None:
        if meet:
            known[statement] = {}
        return None
    names = tuple(values)
    if names not in plans:
        if len(plans) >= SHAPES:
            return None
        plans[names] = _compiled(statement, names, dialect)
    return plans[names]


def _compiled(statement: Executable, names: tuple[str, ...], dialect: Dialect) -> _Plan | None:
    if not isinstance(statement, Select | TextualSelect | Insert | Update | Delete):
        return None
    if isinstance(statement, Insert):
        statement = statement.inline()  # a server would tell the number of the row
    made = cast("Any", statement).compile(dialect=dialect, column_keys=list(names))
    bound = [made.binds[name] for name in made.positiontup or ()]
    late = made.literal_execute_params or made.post_compile_params or made.insert_prefetch or made.update_prefetch
    order = tuple(made.positiontup or ())
    odd = any(
        one.expanding or one.callable or (one.required and name not in names)
        for name, one in zip(order, bound, strict=True)
    )
    if late or odd or made.effective_returning:
        return None
    fixed: dict[str, Any] = {name: one.value for name, one in zip(order, bound, strict=True) if name not in names}
    found = [(at, _impl(one.type, dialect).bind_processor(dialect)) for at, one in enumerate(bound)]
    stored = tuple((at, process) for at, process in found if process is not None)
    row = _row_of(cast("Any", statement), dialect) if isinstance(statement, Select | TextualSelect) else None
    return _Plan(str(made.string), _taking(order), fixed, stored, row)


def _taking(names: tuple[str, ...]) -> Callable[[Values], tuple[Any, ...]]:
    if len(names) > 1:
        return operator.itemgetter(*names)
    return lambda values: tuple(values[name] for name in names)


def _row_of(statement: Select[Any] | TextualSelect, dialect: Dialect) -> Callable[[tuple[Any, ...]], Any]:
    """What makes a row with named fields of the driver's tuple."""
    columns = list(cast("Any", statement).selected_columns)
    kind: Any = cast("Any", collections).namedtuple("Row", [str(column.key) for column in columns], rename=True)
    found = [(at, _read_by(column, dialect)) for at, column in enumerate(columns)]
    processes = [(at, process) for at, process in found if process is not None]
    make: Callable[[Any], Any] = kind._make
    if not processes:
        return make

    def processed(row: tuple[Any, ...]) -> Any:
        values = list(row)
        for at, process in processes:
            values[at] = process(values[at])
        return make(values)

    return processed


def _read_by(column: ColumnElement[Any], dialect: Dialect) -> _Process | None:
    """What makes a value of what the driver gives."""
    if isinstance(column.type, Float) and dialect.name == "postgresql":
        # SQLAlchemy asks the driver which number it is; what is worked out from a column may be a Decimal.
        return None if isinstance(column, Column) else lambda value: value if value is None else float(value)
    return _impl(column.type, dialect).result_processor(dialect, None)


def _impl(type_: Any, dialect: Dialect) -> sqlalchemy.types.TypeEngine[Any]:
    return cast("sqlalchemy.types.TypeEngine[Any]", type_.dialect_impl(dialect))
