"""How to run a statement that is run again and again: compiled once, with its values in the driver's order.

Why: SQLite needs 5 microseconds for a statement, SQLAlchemy around it 20, and around a server's driver 150
(docs/decisions/0024). A statement that is met a second time is compiled once for all. What is met once, or has a shape
that is not plain (an IN of any length, text without names), has no plan. May not: know a table, run a statement.
Invariant: SQL, values and rows are those that SQLAlchemy gives.
"""

from __future__ import annotations

import collections
import operator
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
import sqlalchemy
from sqlalchemy import Column, ColumnElement, Delete, Dialect, Executable, Float, Insert, Select, Update
from sqlalchemy.sql.expression import TextualSelect

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
