"""The database: one writer that groups commits, a few readers, units of work that are plain functions.

Why grouping: a durable commit costs an fsync; many small units share one (each in a savepoint of its own, so a
failing unit rolls back alone). May not: know any table. Invariant: ``run`` returns only after the unit is on disk.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import Connection, event, exc

P = ParamSpec("P")
T = TypeVar("T")

_GROUP = 256
"""Units that may share one commit: more delays the first caller without saving much."""
_READERS = 2

_Unit = tuple[Callable[[Connection], Any], "Future[Any]"]


class Store:
    """All access to one SQLite file. Open with ``Store(path)``, end with ``close()``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _open_engine(path)
        self._units: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, name="store-writer", daemon=True)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._local = threading.local()
        self._reader_connections: list[Connection] = []
        self._writer.start()

    async def run(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``unit(connection, ...)`` as one durable unit of work and return its result.

        Whatever the unit raises is raised here, and nothing of it stays in the database.
        """
        future: Future[T] = Future()
        self._units.put((lambda connection: unit(connection, *args, **kwargs), future))
        return await asyncio.wrap_future(future)

    async def read(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit that only reads, on one consistent snapshot, beside the writer."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: self._read_now(unit, *args, **kwargs))

    def close(self) -> None:
        """Finish what is queued, then close every connection."""
        self._units.put(None)
        self._writer.join()
        self._readers.shutdown(wait=True)
        for connection in self._reader_connections:
            connection.close()
        self._engine.dispose()

    def _read_now(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._engine.connect()
            self._local.connection = connection
            self._reader_connections.append(connection)
        connection.exec_driver_sql("BEGIN")
        try:
            return unit(connection, *args, **kwargs)
        finally:
            connection.exec_driver_sql("ROLLBACK")

    def _write_all(self) -> None:
        with self._engine.connect() as connection:
            ended = False
            while not ended:
                group, ended = self._next_group()
                if group:
                    _commit_group(connection, group)

    def _next_group(self) -> tuple[list[_Unit], bool]:
        first = self._units.get()
        if first is None:
            return [], True
        group = [first]
        while len(group) < _GROUP:
            try:
                unit = self._units.get_nowait()
            except queue.Empty:
                break
            if unit is None:
                return group, True
            group.append(unit)
        return group, False


def _open_engine(path: Path) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        f"sqlite:///{path}",
        isolation_level="AUTOCOMMIT",
        connect_args={"check_same_thread": False, "timeout": 30},
    )

    @event.listens_for(engine, "connect")
    def _tune(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction] # called by SQLAlchemy
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _commit_group(connection: Connection, group: list[_Unit]) -> None:
    """Run every unit of the group in its own savepoint, commit once, then tell each caller its outcome."""
    outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        for unit, future in group:
            if future.set_running_or_notify_cancel():
                outcomes.append((future, *_run_unit(connection, unit)))
        connection.exec_driver_sql("COMMIT")
    except exc.DBAPIError as error:
        # Disk full, file locked by a stranger: none of the group is on disk, so none may be told it is.
        _roll_back(connection)
        outcomes = [(future, None, error) for _unit, future in group if not future.cancelled()]
    for future, result, error in outcomes:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _run_unit(connection: Connection, unit: Callable[[Connection], Any]) -> tuple[Any, BaseException | None]:
    connection.exec_driver_sql("SAVEPOINT unit")
    try:
        result = unit(connection)
    except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
        connection.exec_driver_sql("ROLLBACK TO unit")
        connection.exec_driver_sql("RELEASE unit")
        return None, error
    connection.exec_driver_sql("RELEASE unit")
    return result, None


def _roll_back(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except exc.DBAPIError:
        connection.invalidate()
