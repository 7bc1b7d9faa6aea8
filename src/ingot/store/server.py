"""PostgreSQL and MariaDB: a thread with an event loop of its own writes, whoever reads does it in the caller's loop.

Why a lock: units may read, decide and write, as on SQLite; who writes holds the one row of ``alembic_version`` until
its commit, in whichever process (docs/decisions/0021). A holder that falls silent is cut off by the server. Why a
thread: the lock is not to be held longer because the loop that serves requests is busy.
May not: know any other table. Invariant: a caller is told of success only after the commit of its group.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import uvloop
from sqlalchemy import Connection, Engine
from sqlalchemy.util import greenlet_spawn

from ingot.store import dialects, lanes, place
from ingot.store.quick import QuickConnection
from ingot.store.readers import FAILURES, PAUSE, Readers, connect, throw_away
from ingot.store.units import GROUP, Outcome, Unit, Work, commit_all, tell

T = TypeVar("T")
_LAST = 3.0
"""Seconds that closing waits for a server: what was to be told of what is written then, nobody waits for any more."""
LOCK = "SELECT version_num FROM alembic_version FOR UPDATE"
"""Makes a transaction the one that writes, until its end."""


class ServerEngine:
    """Connections to one database on a server."""

    def __init__(self, where: str, patience: float) -> None:
        self._where, self._patience = where, patience
        self._engine: Engine = dialects.make_engine(place.url_of(where), patience)
        self._units: deque[Unit] = deque()
        self._loop = uvloop.new_event_loop()
        self._arrived = asyncio.Event()
        self._closing = False
        self._writing: QuickConnection | None = None
        self._readers: dict[asyncio.AbstractEventLoop, Readers] = {}
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def put(self, unit: Unit) -> None:
        """Queue a unit."""
        self._units.append(unit)
        self._loop.call_soon_threadsafe(self._arrived.set)

    def read(self, work: Work) -> Awaitable[Any]:
        """Run on one snapshot, on a connection that reads."""
        return self._here().read(work)

    def peek(self, unit: Callable[..., Any], args: tuple[Any, ...]) -> Awaitable[Any]:
        """Run a single statement, which needs no transaction."""
        return self._here().peek(unit, args)

    def waiting(self) -> int:
        """Units that are queued."""
        return len(self._units)

    def close(self) -> None:
        """Finish what is queued if that takes no more than 3 s, then close every connection."""
        self._closing = True
        self._loop.call_soon_threadsafe(self._arrived.set)
        self._thread.join(_LAST)
        for loop, readers in list(self._readers.items()):
            with contextlib.suppress(RuntimeError):  # a loop that has ended has closed what it had
                loop.call_soon_threadsafe(readers.close)

    def _here(self) -> Readers:
        """The connections that read of the event loop that runs."""
        loop = asyncio.get_running_loop()
        found = self._readers.get(loop)
        if found is None:
            # Not a weak key: connections and generator hold their loop, so it would never go.
            forget = functools.partial(self._readers.pop, loop, None)
            found = self._readers[loop] = Readers(self._where, self._patience, forget)
        return found

    def _work(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._write_all())

    async def _write_all(self) -> None:
        while not (self._closing and not self._units):
            await self._arrived.wait()
            self._arrived.clear()
            while self._units:
                await self._write_group([self._units.popleft() for _ in range(min(GROUP, len(self._units)))])
        await self._forget_writing()

    async def _write_group(self, group: list[Unit]) -> None:
        waiting = [unit for unit in group if not unit.future.cancelled()]
        if not waiting:
            return
        try:
            async with asyncio.timeout(2 * self._patience):
                connection = await self._locked()
                outcomes = await greenlet_spawn(commit_all, connection, waiting, _begin, lanes.straight)
        except Exception as error:  # noqa: BLE001 - handed to all who wait: without a writer everybody would for ever
            # Nobody may be told that it is on disk (it may be, when the server fell silent during the commit).
            outcomes: list[Outcome] = [(None, error) for _ in waiting]
            await self._forget_writing()
        tell(waiting, [(result, failure and dialects.told(failure, self._where)) for result, failure in outcomes])

    async def _locked(self) -> QuickConnection:
        """The writing connection, with a transaction that holds the lock; one that has died is replaced."""
        deadline = self._loop.time() + self._patience
        while True:
            try:
                if self._writing is None:
                    self._writing = await connect(self._engine)
                await greenlet_spawn(_begin, self._writing)
                return self._writing
            except FAILURES as error:
                await self._forget_writing()
                if not dialects.is_gone(error) or self._loop.time() > deadline or self._closing:
                    raise
                await asyncio.sleep(PAUSE)

    async def _forget_writing(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            throw_away(writing)


def run_once(where: str, work: Callable[[Connection], T], patience: float) -> T:
    """Run ``work`` on a connection of its own; in a thread, as the caller may be in an event loop.

    Raises errors.StoreDown.
    """

    async def working() -> T:
        connection = await connect(dialects.make_engine(place.url_of(where), patience), Connection)
        try:
            return await greenlet_spawn(work, connection)
        finally:
            await greenlet_spawn(connection.close)

    with ThreadPoolExecutor(1, thread_name_prefix="store-once") as pool:
        try:
            return pool.submit(asyncio.run, working()).result()
        except FAILURES as error:
            raise dialects.told(error, where) from error


def _begin(connection: QuickConnection) -> None:
    connection.frame("BEGIN", LOCK)
