"""Units of work: plain functions on a connection, many of which share one durable commit.

Why grouping: a durable commit costs an fsync; many small units share one (each in a savepoint of its own, so a
failing unit rolls back alone). May not: know a table or a database. Invariant: who waits is told exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

GROUP = 256
"""Units that may share one commit: more delays the first caller without saving much."""

Work = Callable[[Connection], Any]
Outcome = tuple[Any, BaseException | None]
"""What a unit returned, or what it raised."""
Unit = tuple[Work, "asyncio.Future[Any]"]
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


def refused(connection: Connection, statement: Executable, values: dict[str, Any]) -> IntegrityError | None:
    """Run ``statement``; how it breaks a rule of the tables, if it does, and then the unit may go on without it."""
    if connection.dialect.name == "sqlite":  # takes back by itself what a refused statement did
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
    for (_, future), outcome in zip(group, outcomes, strict=True):
        loops.setdefault(future.get_loop(), []).append((future, outcome))
    for loop, settled in loops.items():
        # A loop that has ended has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: list[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, (result, failure) in settled:
        if future.done():
            continue
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)
