"""Connections of one event loop to a server's database, for whoever reads there.

Why in the caller's loop: waking a thread and being woken by it costs more than the statement. May not: write.
Invariant: a caller who is cancelled leaves no connection in the middle of a statement.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, exc
from sqlalchemy.util import greenlet_spawn

from ingot.domain import errors
from ingot.store import dialects, lanes, place, plans
from ingot.store.lookups import LookUp
from ingot.store.plans import Asked
from ingot.store.quick import QuickConnection
from ingot.store.units import Outcome, Unit, Work, bound, settle

C = TypeVar("C", bound=Connection)
PAUSE = 0.2
"""Between two tries to reach a server that is away."""
FAILURES = (OSError, TimeoutError, exc.SQLAlchemyError)
"""Of a connection or a statement."""
_SEATS = 4
_TOGETHER = 64
"""Callers that share a connection's turn."""


class _Queue:
    """Callers who wait. ``begin``: what begins their transaction, None without one; ``most``: connections at once."""

    def __init__(self, begin: str | None, most: int) -> None:
        self.begin, self.most = begin, most
        self.busy = 0
        self.waiting: list[Unit] = []

    def take(self, most: int = _TOGETHER) -> list[Unit]:
        """Those who are served next; whoever does not wait any more takes nobody's place."""
        waiting = [unit for unit in self.waiting if not unit.future.done()]
        taken, self.waiting = waiting[:most], waiting[most:]
        return taken


class Readers:
    """A few connections, made when they are first needed. Who comes while all are busy shares the next with others.

    ``ended`` is called when their event loop ends.
    """

    def __init__(self, where: str, patience: float, ended: Callable[[], object]) -> None:
        self._where, self._patience, self._ended = where, patience, ended
        self._engine = dialects.make_engine(place.url_of(where), patience)
        self._reads = _Queue(dialects.snapshot(self._engine.dialect.name), _SEATS)
        self._peeks = _Queue(None, 1)
        self._idle: list[QuickConnection] = []
        self._lone: QuickConnection | None = None
        self._since = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._life: AsyncGenerator[None] | None = None

    async def read(self, work: Work) -> Any:
        """What ``work`` finds on one snapshot, maybe that of others. Raises errors.StoreDown, or whatever it raises."""
        return await self._join(self._reads, work)

    async def peek(self, unit: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """What ``unit`` finds with its single statement, which needs no transaction. Raises as ``read``.

        Who is alone with a look-up asks the driver; who comes meanwhile shares messages with the others who do.
        """
        if self._idle and not self._peeks.busy and isinstance(unit, LookUp):
            known = cast("LookUp[Any, *tuple[Any, ...]]", unit)
            asked = plans.plan(*known.ask(self._engine.dialect.name, *args), self._engine.dialect, meet=False)
            if asked is not None and (rows := await self._look_up(asked)) is not None:
                return known.tell(asked.first(rows), *args)
        return await self._join(self._peeks, bound(cast("Callable[..., Any]", unit), args))

    def close(self) -> None:
        """Close what is idle, and what is in use as soon as it is not any more."""
        self._closed = True
        while self._idle:
            throw_away(self._idle.pop())

    async def _look_up(self, asked: Asked) -> Sequence[Any] | None:
        """The rows for one who is alone, in the task of that caller. Raises errors.StoreDown.

        None: an answer did not come; who asks again is told why.
        """
        connection = self._lone = self._idle.pop()
        self._peeks.busy += 1
        self._since = asyncio.get_running_loop().time()
        if self._watch is None:
            self._look()
        try:
            rows = await connection.look_up(asked)
        except BaseException as error:
            late = connection.closed
            throw_away(connection)
            if not isinstance(error, Exception):
                raise
            if not late:
                return None
            self._give_up(self._peeks)
            raise dialects.told(TimeoutError(), self._where) from error
        finally:
            self._lone = None
            self._peeks.busy -= 1
            self._start(self._peeks)
        self._give_back(connection)
        return rows

    def _look(self) -> None:
        """Close the connection of who is alone for too long, which makes the driver raise; else look again in time.

        One timer goes round for all of them: one each would be a tenth of a look-up.
        """
        self._watch = None
        if self._lone is not None:
            loop = asyncio.get_running_loop()
            until = self._since + 2 * self._patience
            if loop.time() < until:
                self._watch = loop.call_at(until, self._look)
            else:
                throw_away(self._lone)

    async def _join(self, queue: _Queue, work: Work) -> Any:
        if self._life is None:
            self._life = self._until_the_loop_ends()
            await anext(self._life)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        queue.waiting.append(Unit(work, future))
        self._start(queue)
        return await future

    async def _until_the_loop_ends(self) -> AsyncGenerator[None]:
        """Whoever ends an event loop closes its generators first, and then these connections can still be closed."""
        try:
            yield
        finally:
            self.close()
            self._ended()

    def _start(self, queue: _Queue) -> None:
        if queue.waiting and queue.busy < queue.most and (taken := queue.take()):
            queue.busy += 1
            # A task of its own, which ends what it has begun although nobody waits for it any more.
            task = asyncio.create_task(self._serve(queue, taken))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, queue: _Queue, taken: list[Unit]) -> None:
        try:
            async with asyncio.timeout(2 * self._patience):
                outcomes = await self._outcomes(queue.begin, [unit.work for unit in taken])
        except Exception as error:  # noqa: BLE001 - handed to all who wait
            if isinstance(error, TimeoutError):
                self._give_up(queue)
            outcomes: list[Outcome] = [(None, error) for _ in taken]
        finally:
            queue.busy -= 1
        self._tell(taken, outcomes)
        self._start(queue)

    def _give_up(self, queue: _Queue) -> None:
        """Who came while others waited in vain is not to wait as long again."""
        waiting = queue.take(len(queue.waiting))
        self._tell(waiting, [(None, TimeoutError()) for _ in waiting])

    def _tell(self, taken: list[Unit], outcomes: list[Outcome]) -> None:
        told = [(result, failure and dialects.told(failure, self._where)) for result, failure in outcomes]
        settle([(unit.future, outcome) for unit, outcome in zip(taken, told, strict=True)])

    async def _outcomes(self, begin: str | None, works: list[Work]) -> list[Outcome]:
        try:
            found = await self._read(begin, works)
        except Exception as error:  # a driver stumbles over a value in ways of its own
            if len(works) == 1 or dialects.is_gone(error):
                raise
            found = None
        return found or [await self._alone(begin, work) for work in works]

    async def _alone(self, begin: str | None, work: Work) -> Outcome:
        """The outcome of one of many, who shall not suffer for what another asked."""
        try:
            [outcome] = await self._read(begin, [work]) or []
        except Exception as error:  # noqa: BLE001 - handed to who waits
            return None, error
        return outcome

    async def _read(self, begin: str | None, works: list[Work]) -> list[Outcome] | None:
        """A connection that died while it was idle is replaced, until the patience ends."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while True:
            try:
                return await self._read_once(begin, works)
            except FAILURES as error:
                if not dialects.is_gone(error) or loop.time() > deadline:
                    raise
                await asyncio.sleep(0 if self._idle else PAUSE)

    async def _read_once(self, begin: str | None, works: list[Work]) -> list[Outcome] | None:
        connection = self._idle.pop() if self._idle else await connect(self._engine)
        try:
            found = await greenlet_spawn(_together, connection, begin, works)
        except BaseException:
            throw_away(connection)
            raise
        self._give_back(connection)
        return found

    def _give_back(self, connection: QuickConnection) -> None:
        if self._closed or connection.closed:  # by a deadline, while the answer came
            throw_away(connection)
        else:
            self._idle.append(connection)


def _together(connection: QuickConnection, begin: str | None, works: list[Work]) -> list[Outcome] | None:
    """The outcome of each; None where one of them cannot be run beside others."""
    if begin is not None:
        connection.frame(begin)
    try:
        if len(works) == 1:
            return [_outcome(connection, works[0])]
        found = lanes.side_by_side(connection, [[work] for work in works])
        return None if found is None else [outcome for [outcome] in found]
    finally:
        if begin is not None and not connection.invalidated:  # else what this would raise hides the reason
            connection.frame("ROLLBACK")


def _outcome(connection: QuickConnection, work: Work) -> Outcome:
    try:
        return work(connection), None
    except errors.IngotError as error:
        return None, error


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
