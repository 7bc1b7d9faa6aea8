"""PostgreSQL and MariaDB: a thread with an event loop of its own, one writing connection and a few that read.

Why a lock: units may read, decide and write, as on SQLite; who writes holds the one row of ``alembic_version`` until
its commit, in whichever process (docs/decisions/0021). A holder that falls silent is cut off by the server.
May not: know any other table. Invariant: a caller is told of success only after the commit of its group.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop
from sqlalchemy import Connection, exc

from ingot.domain import errors
from ingot.store import dialects, place
from ingot.store.units import GROUP, Outcome, Unit, Work, attempt, tell

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")
_READERS = 4
_PAUSE = 0.2
"""Between two tries to reach a server that is away."""
_LOCK = "SELECT version_num FROM alembic_version FOR UPDATE"
_FAILURES = (OSError, TimeoutError, exc.SQLAlchemyError)
"""Of a connection or a statement."""


class ServerEngine:
    """Connections to one database on a server."""

    def __init__(self, where: str, patience: float) -> None:
        self._where, self._patience = where, patience
        self._engine: AsyncEngine = dialects.make_engine(place.url_of(where), patience)
        self._snapshot = dialects.snapshot(self._engine.dialect.name)
        self._units: deque[Unit] = deque()
        self._loop = uvloop.new_event_loop()
        self._arrived = asyncio.Event()
        self._closing = False
        self._writing: AsyncConnection | None = None
        self._idle: list[AsyncConnection] = []
        self._seats = asyncio.Semaphore(_READERS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def put(self, unit: Unit) -> None:
        """Queue a unit."""
        self._units.append(unit)
        self._loop.call_soon_threadsafe(self._arrived.set)

    def read(self, work: Work) -> Awaitable[Any]:
        """Run on one snapshot, on a connection that reads."""
        return self._there(lambda connection: _on_snapshot(connection, self._snapshot, work))

    def peek(self, work: Work) -> Awaitable[Any]:
        """Run a single statement, which needs no transaction."""
        return self._there(work)

    def waiting(self) -> int:
        """Units that are queued."""
        return len(self._units)

    def close(self) -> None:
        """Finish what is queued, then close every connection."""
        self._closing = True
        self._loop.call_soon_threadsafe(self._arrived.set)
        self._thread.join()

    def _work(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._write_all())
            self._loop.run_until_complete(self._end())

    async def _end(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._patience)
        for connection in (*self._idle, *([self._writing] if self._writing is not None else [])):
            await _throw_away(connection)
        await self._engine.dispose()

    # --- Writing ---

    async def _write_all(self) -> None:
        while not (self._closing and not self._units):
            await self._arrived.wait()
            self._arrived.clear()
            while self._units:
                await self._write_group([self._units.popleft() for _ in range(min(GROUP, len(self._units)))])

    async def _write_group(self, group: list[Unit]) -> None:
        waiting = [(unit, future) for unit, future in group if not future.cancelled()]
        if not waiting:
            return
        try:
            async with asyncio.timeout(2 * self._patience):
                connection = await self._locked()
                outcomes = await connection.run_sync(_commit_group, [unit for unit, _ in waiting])
        except Exception as error:  # noqa: BLE001 - handed to all who wait: without a writer everybody would for ever
            # Nobody may be told that it is on disk (it may be, when the server fell silent during the commit).
            outcomes: list[Outcome] = [(None, error) for _ in waiting]
            await self._forget_writing()
        tell(waiting, [(result, failure and dialects.told(failure, self._where)) for result, failure in outcomes])

    async def _locked(self) -> AsyncConnection:
        """The writing connection, with a transaction that holds the lock; one that has died is replaced."""
        deadline = self._loop.time() + self._patience
        while True:
            try:
                if self._writing is None:
                    self._writing = await _connect(self._engine)
                await self._writing.run_sync(_begin)
                return self._writing
            except _FAILURES as error:
                await self._forget_writing()
                if not dialects.is_gone(error) or self._loop.time() > deadline:
                    raise
                await asyncio.sleep(_PAUSE)

    async def _forget_writing(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await _throw_away(writing)

    # --- Reading ---

    def _there(self, work: Work) -> asyncio.Future[Any]:
        """Run ``work`` on a connection that reads, in the store's own loop."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._loop.call_soon_threadsafe(self._start, (work, future))
        return future

    def _start(self, unit: Unit) -> None:
        task = self._loop.create_task(self._serve(unit))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, unit: Unit) -> None:
        try:
            async with asyncio.timeout(2 * self._patience), self._seats:
                outcome: Outcome = (await self._read_now(unit[0]), None)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            outcome = (None, dialects.told(error, self._where))
        tell([unit], [outcome])

    async def _read_now(self, work: Work) -> Any:
        """A connection that died while it was idle is replaced, until the patience ends."""
        deadline = self._loop.time() + self._patience
        while True:
            try:
                return await self._read_once(work)
            except _FAILURES as error:
                if not dialects.is_gone(error) or self._loop.time() > deadline:
                    raise
                await asyncio.sleep(0 if self._idle else _PAUSE)

    async def _read_once(self, work: Work) -> Any:
        connection = self._idle.pop() if self._idle else await _connect(self._engine)
        try:
            result = await connection.run_sync(work)
        except BaseException as error:
            if isinstance(error, errors.IngotError):
                self._idle.append(connection)
            else:
                await _throw_away(connection)
            raise
        self._idle.append(connection)
        return result


def run_once(where: str, work: Callable[[Connection], T], patience: float) -> T:
    """Run ``work`` on a connection of its own; in a thread, as the caller may be in an event loop.

    Raises errors.StoreDown.
    """

    async def working() -> T:
        engine = dialects.make_engine(place.url_of(where), patience)
        try:
            async with contextlib.aclosing(await _connect(engine)) as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    with ThreadPoolExecutor(1, thread_name_prefix="store-once") as pool:
        try:
            return pool.submit(asyncio.run, working()).result()
        except _FAILURES as error:
            raise dialects.told(error, where) from error


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    """A new connection. Raises OSError for whatever a driver stumbles over when a server hangs up or talks nonsense."""
    try:
        return await engine.connect()
    except _FAILURES:
        raise
    except Exception as error:
        raise ConnectionError(f"the server hung up, or is another one: {error}") from error


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
    connection.exec_driver_sql(_LOCK)


def _commit_group(connection: Connection, units: list[Work]) -> list[Outcome]:
    """Run every unit in its own savepoint and commit once; the outcome of each. One alone needs no savepoint."""
    if len(units) > 1:
        outcomes = [attempt(connection, unit) for unit in units]
    else:
        try:
            outcomes: list[Outcome] = [(units[0](connection), None)]
        except BaseException as error:
            if connection.invalidated:
                raise  # nothing is left to roll back, and what that would raise hides the reason
            connection.exec_driver_sql("ROLLBACK")
            return [(None, error)]
    connection.exec_driver_sql("COMMIT")
    return outcomes


def _on_snapshot(connection: Connection, begin: tuple[str, ...], work: Callable[[Connection], Any]) -> Any:
    for statement in begin:
        connection.exec_driver_sql(statement)
    try:
        return work(connection)
    finally:
        if not connection.invalidated:  # else what this would raise hides the reason
            connection.exec_driver_sql("ROLLBACK")


async def _throw_away(connection: AsyncConnection) -> None:
    """Close a connection, whatever state it is in, without waiting for the server."""
    with contextlib.suppress(Exception):  # a driver may say anything of a broken one
        await connection.invalidate()
        await connection.close()
