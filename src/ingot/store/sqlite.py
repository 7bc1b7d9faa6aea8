"""SQLite: one writer's thread that groups commits, a few readers beside it.

May not: know any table. Invariant: a caller is told of success only after the commit of its group.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, event, exc

from ingot.domain import errors
from ingot.store.quick import QuickConnection
from ingot.store.units import GROUP, Outcome, Unit, Work, bound, commit_all, one_by_one, tell

_READERS = 2
_STATEMENTS = 512
"""That a connection keeps prepared."""


class SqliteEngine:
    """Threads and connections of one file."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self._engine = _open_engine(path, patience)
        self._units: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, name="store-writer", daemon=True)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._local = threading.local()
        self._here: Connection | None = None
        self._reader_connections: list[Connection] = []
        self._writer.start()

    def put(self, unit: Unit) -> None:
        """Queue a unit."""
        self._units.put(unit)

    def read(self, work: Work) -> Awaitable[Any]:
        """Run in a reader's thread."""
        return asyncio.get_running_loop().run_in_executor(self._readers, self._read_now, work)

    async def peek(self, unit: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run in the event loop: that takes less time than waking a thread would.

        When the database makes it wait, ``read`` does it after all.
        """
        try:
            if self._here is None:
                self._here = self._connect_reader()
                self._here.exec_driver_sql("PRAGMA busy_timeout=0")
            return unit(self._here, *args)
        except exc.OperationalError:
            return await self.read(bound(unit, args))

    def waiting(self) -> int:
        """Units that are queued."""
        return self._units.qsize()

    def close(self) -> None:
        """Finish what is queued, then close every connection."""
        self._units.put(None)
        self._writer.join()
        self._readers.shutdown(wait=True)
        for connection in self._reader_connections:
            connection.close()
        self._engine.dispose()

    def _read_now(self, work: Work) -> Any:
        connection: QuickConnection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                self._local.connection = connection = self._connect_reader()
            connection.frame("BEGIN")
            return work(connection)
        except exc.OperationalError as error:
            raise told(error, self._path) from error
        finally:
            if connection is not None:
                _roll_back(connection)

    def _connect_reader(self) -> QuickConnection:
        connection = QuickConnection(self._engine)
        self._reader_connections.append(connection)
        return connection

    def _write_all(self) -> None:
        ended = False
        while not ended:
            group, ended = self._next_group()
            waiting = [unit for unit in group if not unit.future.cancelled()]
            try:
                with contextlib.closing(QuickConnection(self._engine)) as connection:
                    outcomes = _commit_group(connection, waiting) if waiting else []
            except Exception as error:  # noqa: BLE001 - handed to all who wait: without a writer everybody would for ever
                # None of the group is on disk, so nobody may be told it is; the next group gets a fresh connection.
                failed = told(error, self._path) if isinstance(error, exc.SQLAlchemyError) else error
                outcomes = [(None, failed) for _ in waiting]
            results = [
                (result, told(failure, self._path) if isinstance(failure, exc.OperationalError) else failure)
                for result, failure in outcomes
            ]
            tell(waiting, results)

    def _next_group(self) -> tuple[list[Unit], bool]:
        first = self._units.get()
        if first is None:
            return [], True
        group = [first]
        while len(group) < GROUP:
            try:
                unit = self._units.get_nowait()
            except queue.Empty:
                break
            if unit is None:
                return group, True
            group.append(unit)
        return group, False


def told(error: exc.SQLAlchemyError, path: Path) -> errors.StoreDown:
    """A failure of the file as callers know it."""
    words = str(error.orig) if isinstance(error, exc.DBAPIError) else str(error)
    cures = {
        "locked": "Another program holds the database: end it.",
        "full": "Free space on its disk; ingot goes on by itself.",
        "not a database": "Restore a backup.",
        "malformed": "Restore a backup.",
        "readonly": "Let ingot's account write to the file and its folder, on a file system that is mounted for it.",
    }
    cure = next((text for word, text in cures.items() if word in words), "Check the disk and its free space.")
    return errors.StoreDown(f"The database {path} cannot be used: {words}", hint=cure)


def _open_engine(path: Path, patience: float) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        f"sqlite:///{path}",
        isolation_level="AUTOCOMMIT",
        connect_args={"check_same_thread": False, "timeout": patience, "cached_statements": _STATEMENTS},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _tune(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction] # called by SQLAlchemy
        cursor = connection.cursor()
        write_ahead(cursor.execute, patience)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def write_ahead(execute: Callable[[str], object], patience: float) -> None:
    """Have the file kept by write-ahead logging, which stays with it, within ``patience`` seconds.

    SQLite itself does not wait here for another process that opens the same new file, whatever it is told.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            execute("PRAGMA journal_mode=WAL")
            return
        except (sqlite3.OperationalError, exc.OperationalError) as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        threading.Event().wait(0.02)


def _commit_group(connection: QuickConnection, units: list[Unit]) -> list[Outcome]:
    """The outcome of each unit. Raises when nothing was committed."""
    try:
        _begin(connection)
        return commit_all(connection, units, _begin, one_by_one)
    except exc.SQLAlchemyError:
        _roll_back(connection)
        raise


def _begin(connection: QuickConnection) -> None:
    connection.frame("BEGIN IMMEDIATE")


def _roll_back(connection: Connection) -> None:
    """End whatever transaction is open; a connection that cannot even do that is thrown away."""
    try:
        connection.exec_driver_sql("ROLLBACK")
    except exc.SQLAlchemyError:
        connection.invalidate()
        connection.rollback()
