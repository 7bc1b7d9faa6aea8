"""Units of work: plain functions on a connection, many of which share one durable commit.

Why grouping: a durable commit costs an fsync; many small units share one, and one that fails is taken back alone.
May not: know a table or a database. Invariants: who waits is told exactly once; a unit may be run twice, so it changes
nothing but the database.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from ingot.store.quick import QuickConnection

GROUP = 256
"""Units that may share one commit: more delays the first caller without saving much."""

Work = Callable[[Connection], Any]
Outcome = tuple[Any, BaseException | None]
"""What a unit returned, or what it raised."""


class Unit(NamedTuple):
    """A unit of work and who waits for it. ``node``: the uuid of the one node to which all belongs that it reads and
    changes; None where it looks further. Units of different nodes may run side by side."""

    work: Work
    future: asyncio.Future[Any]
    node: str | None = None


def bound(unit: Callable[..., Any], args: tuple[Any, ...]) -> Work:
    """A unit with what it is given beside the connection."""
    return lambda connection: unit(connection, *args)


_LOST = (SQLAlchemyError, asyncio.CancelledError)
"""What a statement raises whose connection is lost, or given up because its time was over."""


def attempt(connection: Connection, unit: Work, name: str = "unit") -> Outcome:
    """Run ``unit`` in a savepoint: (its result, None), or (None, what it raised) with all it wrote taken back.

    ``name``: of the savepoint; one within a unit needs another name.
    """
    connection.exec_driver_sql(f"SAVEPOINT {name}")
    try:
        result = unit(connection)
    except BaseException as error:
        if connection.invalidated and isinstance(error, _LOST):
            raise  # nothing is left to take back, and the group is void; what that would raise hides the reason
        # On a full disk SQLite may have ended the whole transaction: then this raises, and the group is void.
        connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {name}")
        connection.exec_driver_sql(f"RELEASE SAVEPOINT {name}")
        return None, error
    connection.exec_driver_sql(f"RELEASE SAVEPOINT {name}")
    return result, None


def commit_all(
    connection: QuickConnection,
    units: Sequence[Unit],
    begin: Callable[[QuickConnection], None],
    straight: Callable[[QuickConnection, Sequence[Unit]], list[Outcome] | None],
) -> list[Outcome]:
    """Run units in the transaction that has begun and commit; the outcome of each. Raises when nothing was committed.

    Savepoints cost about as much as the statements of a unit. So units are run without (``straight``), and where one
    fails that has written something, all is taken back, and run again after ``begin`` with a savepoint for each.
    """
    outcomes = straight(connection, units)
    if outcomes is None:
        with contextlib.suppress(SQLAlchemyError):  # SQLite may have ended the transaction, on a full disk
            connection.frame("ROLLBACK")
        begin(connection)
        outcomes = [attempt(connection, unit.work) for unit in units]
    connection.frame("COMMIT")
    return outcomes


def one_by_one(connection: QuickConnection, units: Sequence[Unit]) -> list[Outcome] | None:
    """The outcomes without savepoints, None where something has to be taken back."""
    outcomes: list[Outcome] = []
    for unit in units:
        connection.touched = False
        try:
            outcomes.append((unit.work(connection), None))
        except BaseException as error:
            if connection.invalidated and isinstance(error, _LOST):
                raise
            if connection.touched:
                return None
            outcomes.append((None, error))
    return outcomes


def refused(connection: Connection, statement: Executable, values: dict[str, Any]) -> IntegrityError | None:
    """Run ``statement``; how it breaks a rule of the tables, if it does, and then the unit may go on without it."""
    # SQLite takes back by itself what a refused statement did; with a lane all is taken back and run again.
    if connection.dialect.name == "sqlite" or not getattr(connection, "has_savepoints", True):
        try:
            connection.execute(statement, values)
        except IntegrityError as error:
            return error
        return None
    _, failure = attempt(connection, lambda there: there.execute(statement, values), "statement")
    if failure is not None and not isinstance(failure, IntegrityError):
        raise failure
    return failure


def tell(group: list[Unit], outcomes: list[Outcome]) -> None:
    """Give each waiting caller its outcome, with one wake-up for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = {}
    for unit, outcome in zip(group, outcomes, strict=True):
        loops.setdefault(unit.future.get_loop(), []).append((unit.future, outcome))
    for loop, settled in loops.items():
        # A loop that has ended has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, settled)


def settle(settled: list[tuple[asyncio.Future[Any], Outcome]]) -> None:
    """Tell futures of the running loop, but for those whose caller has gone."""
    for future, (result, failure) in settled:
        if future.done():
            continue
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)
