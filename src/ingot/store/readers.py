"""Connections of one event loop to a server's database, for whoever reads there.

Why in the caller's loop: waking a thread and being woken by it costs more than the statement. May not: write.
Invariant: a caller who is cancelled leaves no connection in the middle of a statement.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, exc
from sqlalchemy.util import greenlet_spawn

from ingot.domain import errors
from ingot.store import dialects, place
from ingot.store.quick import QuickConnection

C = TypeVar("C", bound=Connection)
Work = Callable[[QuickConnection], Any]
PAUSE = 0.2
"""Between two tries to reach a server that is away."""
FAILURES = (OSError, TimeoutError, exc.SQLAlchemyError)
"""Of a connection or a statement."""
_SEATS = 4


class Readers:
    """A few connections, made when they are first needed; ``ended`` is called when their event loop ends."""

    def __init__(self, where: str, patience: float, ended: Callable[[], object]) -> None:
        self._where, self._patience, self._ended = where, patience, ended
        self._engine = dialects.make_engine(place.url_of(where), patience)
        self._idle: list[QuickConnection] = []
        self._seats = asyncio.Semaphore(_SEATS)
        self._closed = False
        self._life: AsyncGenerator[None] | None = None

    async def run(self, work: Work) -> Any:
        """What ``work`` finds. Raises errors.StoreDown, or whatever it raises."""
        if self._life is None:
            self._life = self._until_the_loop_ends()
            await anext(self._life)
        # A task of its own, which ends what it has begun although nobody waits for it any more.
        task = asyncio.create_task(self._serve(work))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise

    def close(self) -> None:
        """Close what is idle, and what is in use as soon as it is not any more."""
        self._closed = True
        while self._idle:
            throw_away(self._idle.pop())

    async def _until_the_loop_ends(self) -> AsyncGenerator[None]:
        """Whoever ends an event loop closes its generators first, and then these connections can still be closed."""
        try:
            yield
        finally:
            self.close()
            self._ended()

    async def _serve(self, work: Work) -> Any:
        try:
            async with asyncio.timeout(2 * self._patience), self._seats:
                return await self._read(work)
        except FAILURES as error:
            raise dialects.told(error, self._where) from error

    async def _read(self, work: Work) -> Any:
        """A connection that died while it was idle is replaced, until the patience ends."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while True:
            try:
                return await self._read_once(work)
            except FAILURES as error:
                if not dialects.is_gone(error) or loop.time() > deadline:
                    raise
                await asyncio.sleep(0 if self._idle else PAUSE)

    async def _read_once(self, work: Work) -> Any:
        connection = self._idle.pop() if self._idle else await connect(self._engine)
        try:
            result = await greenlet_spawn(work, connection)
        except BaseException as error:
            self._give_back(connection, usable=isinstance(error, errors.IngotError))
            raise
        self._give_back(connection, usable=True)
        return result

    def _give_back(self, connection: QuickConnection, *, usable: bool) -> None:
        if usable and not self._closed:
            self._idle.append(connection)
        else:
            throw_away(connection)


async def connect(engine: Engine, kind: Callable[[Engine], C] = QuickConnection) -> C:
    """A new connection. Raises OSError for whatever a driver stumbles over when a server hangs up or talks nonsense."""
    try:
        return await greenlet_spawn(kind, engine)
    except FAILURES:
        raise
    except Exception as error:
        raise ConnectionError(f"the server hung up, or is another one: {error}") from error


def throw_away(connection: QuickConnection) -> None:
    """Close a connection, whatever state it is in, without waiting for the server."""
    with contextlib.suppress(Exception):  # a driver may say anything of a broken one
        connection.invalidate()
        connection.close()
