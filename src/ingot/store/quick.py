"""Statements that are run again and again, without the work that SQLAlchemy does each time.

Why: SQLite needs 5 microseconds for a statement, SQLAlchemy around it 20 (docs/decisions/0024). A statement that is met
a second time is compiled once for all; from then on its values go straight to the driver. What is met once, or has a
shape that is not plain (an IN of any length, text), goes SQLAlchemy's way. May not: know a table. Invariant: SQL,
values, rows and errors are those that SQLAlchemy gives.
"""

from __future__ import annotations

import collections
import operator
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import sqlalchemy
from sqlalchemy import Connection, CursorResult, Delete, Dialect, Executable, Insert, Select, Update, exc

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


_Plans = dict[tuple[str, ...], _Plan | None]
_plans: weakref.WeakKeyDictionary[Executable, _Plans] = weakref.WeakKeyDictionary()
"""By statement and the names it is given values for; None: not plain. Empty: the statement was met once."""


class QuickConnection(Connection):
    """A connection to SQLite whose ``execute`` and ``exec_driver_sql`` take the short way where there is one."""

    _raw: sqlite3.Connection | None = None

    def execute(  # pyright: ignore[reportIncompatibleMethodOverride]  # one kind of values, no options
        self, statement: Executable, parameters: Values | Sequence[Values] | None = None
    ) -> CursorResult[Any]:
        """As SQLAlchemy's."""
        given: Any = parameters or {}
        lines = cast("list[Values]", given) if isinstance(given, list) else None
        plan = _plan_of(statement, cast("Values", given) if lines is None else lines[0], self.dialect)
        if plan is None:
            return super().execute(statement, cast("Any", parameters))
        raw = self._raw or self._connect()
        try:
            if lines is None:
                cursor = raw.execute(plan.sql, _bound(plan, cast("Values", given)))
            else:
                cursor = raw.executemany(plan.sql, [_bound(plan, each) for each in lines])
        except sqlite3.Error as error:
            raise _told(error, plan.sql, self.dialect) from error
        found: Any = Found(cursor, plan.row, plan.sql, self.dialect)
        return found

    def exec_driver_sql(  # pyright: ignore[reportIncompatibleMethodOverride]  # as above
        self, statement: str, parameters: tuple[Any, ...] = ()
    ) -> CursorResult[Any]:
        """As SQLAlchemy's; rows are plain tuples."""
        try:
            cursor = (self._raw or self._connect()).execute(statement, parameters)
        except sqlite3.Error as error:
            raise _told(error, statement, self.dialect) from error
        found: Any = Found(cursor, None, statement, self.dialect)
        return found

    def invalidate(self, exception: BaseException | None = None) -> None:
        """As SQLAlchemy's."""
        self._raw = None
        super().invalidate(exception)

    def close(self) -> None:
        """As SQLAlchemy's."""
        self._raw = None
        super().close()

    def _connect(self) -> sqlite3.Connection:
        self._raw = cast("sqlite3.Connection", self.connection.driver_connection)
        return self._raw


class Found:
    """What a statement gave: as much of SQLAlchemy's result as units of work ask for."""

    __slots__ = ("_cursor", "_dialect", "_row", "_sql")

    def __init__(
        self, cursor: sqlite3.Cursor, row: Callable[[tuple[Any, ...]], Any] | None, sql: str, dialect: Dialect
    ) -> None:
        self._cursor, self._row, self._sql, self._dialect = cursor, row, sql, dialect

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return self._cursor.rowcount

    def first(self) -> Any:
        """The first row, or None."""
        try:
            row = self._cursor.fetchone()
            self._cursor.close()
        except sqlite3.Error as error:
            raise _told(error, self._sql, self._dialect) from error
        return row if row is None or self._row is None else self._row(row)

    def all(self) -> list[Any]:
        """Every row."""
        try:
            rows = self._cursor.fetchall()
        except sqlite3.Error as error:
            raise _told(error, self._sql, self._dialect) from error
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


def _bound(plan: _Plan, values: Values) -> Sequence[Any]:
    found = plan.take({**plan.fixed, **values} if plan.fixed else values)
    if not plan.stored:
        return found
    changed = list(found)
    for at, process in plan.stored:
        changed[at] = process(changed[at])
    return changed


def _plan_of(statement: Executable, values: Values, dialect: Dialect) -> _Plan | None:
    """How to run a statement at once; None where SQLAlchemy has to."""
    plans = _plans.get(statement)
    if plans is None:
        _plans[statement] = {}
        return None
    names = tuple(values)
    if names not in plans:
        if len(plans) >= SHAPES:
            return None
        plans[names] = _compiled(statement, names, dialect)
    return plans[names]


def _compiled(statement: Executable, names: tuple[str, ...], dialect: Dialect) -> _Plan | None:
    if not isinstance(statement, Select | Insert | Update | Delete):
        return None
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
    row = _row_of(cast("Select[Any]", statement), dialect) if isinstance(statement, Select) else None
    return _Plan(str(made.string), _taking(order), fixed, stored, row)


def _taking(names: tuple[str, ...]) -> Callable[[Values], tuple[Any, ...]]:
    if len(names) > 1:
        return operator.itemgetter(*names)
    return lambda values: tuple(values[name] for name in names)


def _row_of(statement: Select[Any], dialect: Dialect) -> Callable[[tuple[Any, ...]], Any]:
    """What makes a row with named fields of the driver's tuple."""
    columns = list(cast("Any", statement).selected_columns)
    kind: Any = cast("Any", collections).namedtuple("Row", [str(column.key) for column in columns], rename=True)
    found = [(at, _impl(column.type, dialect).result_processor(dialect, None)) for at, column in enumerate(columns)]
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


def _impl(type_: Any, dialect: Dialect) -> sqlalchemy.types.TypeEngine[Any]:
    return cast("sqlalchemy.types.TypeEngine[Any]", type_.dialect_impl(dialect))


def _told(error: sqlite3.Error, sql: str, dialect: Dialect) -> BaseException:
    """The driver's error as SQLAlchemy's, without values."""
    return exc.DBAPIError.instance(sql, None, error, sqlite3.Error, hide_parameters=True, dialect=dialect)
