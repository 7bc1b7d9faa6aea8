"""The database: one writer that groups commits, a few readers, units of work that are plain functions.

Why grouping: a durable commit costs an fsync; many small units share one (each in a savepoint of its own, so a
failing unit rolls back alone). May not: know any table. Invariant: ``run`` returns only after the unit is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import Connection, event, exc

from ingot.domain import errors

P = ParamSpec("P")
T = TypeVar("T")

_GROUP = 256
"""Units that may share one commit: more delays the first caller without saving much."""
_READERS = 2

_Outcome = tuple[Any, BaseException | None]
_Unit = tuple[Callable[[Connection], Any], "asyncio.Future[Any]"]


class Store:
    """All access to one SQLite file. Open with ``Store(path)``, end with ``close()``.

    ``patience``: seconds to wait for another process that holds the database. A unit that comes while others wait may
    wait twice that, which has to be less than a client's patience.
    """

    def __init__(self, path: Path, patience: float = 15.0) -> None:
        self.path = path
        self._engine = _open_engine(path, patience)
        self._closed = False
        self._units: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, name="store-writer", daemon=True)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._local = threading.local()
        self._here: Connection | None = None
        self._reader_connections: list[Connection] = []
        self._writer.start()

    async def run(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``unit(connection, ...)`` as one durable unit of work and return its result.

        Whatever the unit raises is raised here, and nothing of it stays in the database. Raises errors.StoreDown
        when the database cannot be written (disk full, held by another process).
        """
        if self._closed:
            raise errors.Bug(f"The database {self.path} was used after it was closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._units.put((lambda connection: unit(connection, *args, **kwargs), future))
        return await future

    async def read(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit that only reads, on one consistent snapshot, beside the writer."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: self._read_now(unit, *args, **kwargs))

    async def peek(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit of one statement that finds a row by its key, here in the event loop.

        That takes less time than waking a thread would. When the database makes it wait, ``read`` does it after all.
        """
        try:
            if self._here is None:
                self._here = self._connect_reader()
                self._here.exec_driver_sql("PRAGMA busy_timeout=0")
            return unit(self._here, *args, **kwargs)
        except exc.OperationalError:
            return await self.read(unit, *args, **kwargs)

    def waiting(self) -> int:
        """Units that wait to be written."""
        return self._units.qsize()

    def close(self) -> None:
        """Finish what is queued, then close every connection."""
        self._closed = True
        self._units.put(None)
        self._writer.join()
        self._readers.shutdown(wait=True)
        for connection in self._reader_connections:
            connection.close()
        self._engine.dispose()

    def _read_now(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        connection: Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                self._local.connection = connection = self._connect_reader()
            connection.exec_driver_sql("BEGIN")
            return unit(connection, *args, **kwargs)
        except exc.OperationalError as error:
            raise self._unreachable(error) from error
        finally:
            if connection is not None:
                _roll_back(connection)

    def _connect_reader(self) -> Connection:
        connection = self._engine.connect()
        self._reader_connections.append(connection)
        return connection

    def _write_all(self) -> None:
        ended = False
        while not ended:
            group, ended = self._next_group()
            waiting = [(unit, future) for unit, future in group if not future.cancelled()]
            try:
                with self._engine.connect() as connection:
                    outcomes = _commit_group(connection, [unit for unit, _ in waiting]) if waiting else []
            except exc.SQLAlchemyError as error:
                # None of the group is on disk, so nobody may be told it is; the next group gets a fresh connection.
                outcomes = [(None, self._unreachable(error)) for _ in waiting]
            told = [
                (result, self._unreachable(failure) if isinstance(failure, exc.OperationalError) else failure)
                for result, failure in outcomes
            ]
            _tell([future for _, future in waiting], told)

    def _unreachable(self, error: exc.SQLAlchemyError) -> errors.StoreDown:
        words = str(error.orig) if isinstance(error, exc.DBAPIError) else str(error)
        cures = {
            "locked": "Another program holds the database: end it.",
            "full": "Free space on its disk; ingot goes on by itself.",
        }
        cure = next((text for word, text in cures.items() if word in words), "Check the disk and its free space.")
        return errors.StoreDown(f"The database {self.path} cannot be used: {words}", hint=cure)

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


def _open_engine(path: Path, patience: float) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        f"sqlite:///{path}",
        isolation_level="AUTOCOMMIT",
        connect_args={"check_same_thread": False, "timeout": patience},
    )

    @event.listens_for(engine, "connect")
    def _tune(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction] # called by SQLAlchemy
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _commit_group(connection: Connection, units: list[Callable[[Connection], Any]]) -> list[_Outcome]:
    """Run every unit in its own savepoint and commit once; the outcome of each. Raises when nothing was committed."""
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        outcomes = [attempt(connection, unit) for unit in units]
        connection.exec_driver_sql("COMMIT")
    except exc.SQLAlchemyError:
        _roll_back(connection)
        raise
    return outcomes


def attempt(connection: Connection, unit: Callable[[Connection], Any], name: str = "unit") -> _Outcome:
    """Run ``unit`` in a savepoint: (its result, None), or (None, what it raised) with all it wrote taken back.

    ``name``: of the savepoint; one within a unit needs another name.
    """
    connection.exec_driver_sql(f"SAVEPOINT {name}")
    try:
        result = unit(connection)
    except BaseException as error:  # noqa: BLE001 - handed to the caller
        # On a full disk SQLite may have ended the whole transaction: then this raises, and the group is void.
        connection.exec_driver_sql(f"ROLLBACK TO {name}")
        connection.exec_driver_sql(f"RELEASE {name}")
        return None, error
    connection.exec_driver_sql(f"RELEASE {name}")
    return result, None


def _tell(futures: list[asyncio.Future[Any]], outcomes: list[_Outcome]) -> None:
    """Give each waiting caller its outcome, with one wake-up for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], _Outcome]]] = {}
    for future, outcome in zip(futures, outcomes, strict=True):
        loops.setdefault(future.get_loop(), []).append((future, outcome))
    for loop, settled in loops.items():
        # A loop that has ended has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: list[tuple[asyncio.Future[Any], _Outcome]]) -> None:
    for future, (result, failure) in settled:
        if future.done():
            continue
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)


def _roll_back(connection: Connection) -> None:
    """End whatever transaction is open; a connection that cannot even do that is thrown away."""
    try:
        connection.exec_driver_sql("ROLLBACK")
    except exc.SQLAlchemyError:
        connection.invalidate()
        connection.rollback()
