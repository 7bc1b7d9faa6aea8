"""The live stream of events: one pump reads the journal, every listener has a bounded queue.

Why one pump: a hundred listeners cost one query. It polls (a quarter of a second at most, at once after a ring) because
other processes write to the journal too; while nobody listens it does nothing. May not: know HTTP. Invariants: a
listener gets each event it may see once, in order, without a gap, or is told that there is one; none delays another.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator

import msgspec
import structlog

from ingot.api import policy, wire
from ingot.deps import Deps
from ingot.domain import errors
from ingot.store import events

_log = structlog.get_logger("ingot.api")
BEAT = 15.0
"""Seconds of silence after which a listener is told that nothing happened."""
MOST = 500
"""Listeners of one process."""
LIFE = 600.0
"""Seconds a listener is served; whoever comes back proves again who they are."""
QUEUE = 2000
"""Events that may wait for one listener."""
_POLL = 0.25
_PAUSE = 0.02
"""Between two looks at the journal, however often it is rung."""
_BATCH = 500
_RULES = {"node": "baremetal:node:get", "run": "ingot:run:get", "history": "baremetal:node:history:get"}
"""The rule that decides who sees an event, by the first word of its kind."""
_STOPPING = "The service stops. Come back with the last id you have."
_BROKEN = "The stream broke; the service's log says why. Come back with the last id you have."
_HIDDEN = ("last_error", "baremetal:node:get:last_error")


class Wish(msgspec.Struct, frozen=True):
    """What a listener wants: ``kinds`` (whole kinds, or their first word; empty: all), events of one node, and those
    after ``last`` (None: from now on)."""

    kinds: frozenset[str] = frozenset()
    node_uuid: str | None = None
    last: int | None = None


class Notice(msgspec.Struct, frozen=True):
    """What a listener is told beside events: ``word`` is begin, beat, lost or cut; ``id``: where to go on from."""

    word: str
    id: int
    reason: str = ""


Item = events.Event | Notice


class Listener:
    """One listener's place; iterate over ``Feed.follow`` instead of making one."""

    def __init__(self, caller: wire.Caller, wish: Wish) -> None:
        self._caller = caller
        self._wish = wish
        self._queue: deque[events.Event] = deque()
        self._filled = asyncio.Event()
        self._everything = all(policy.everywhere(rule, caller) for rule in (*_RULES.values(), _HIDDEN[1]))
        self.last = 0
        self.end = ""

    def offer(self, event: events.Event) -> None:
        """Queue an event, if it is wanted and may be seen; cuts the listener off when the queue is full."""
        shown = self.shown(event)
        if shown is None or self.end:
            return
        if len(self._queue) >= QUEUE:
            self._queue.clear()
            self.close(f"You read too slowly: {QUEUE} events were waiting. Come back with the last id you have.")
            return
        self._queue.append(shown)
        self._filled.set()

    def close(self, reason: str) -> None:
        """End the stream after what is queued."""
        self.end = reason
        self._filled.set()

    def shown(self, event: events.Event) -> events.Event | None:
        """The event as this listener may see it; None when it is not wanted, not allowed, or was seen already."""
        wish, word = self._wish, event.kind.partition(".")[0]
        if event.id <= self.last or (wish.kinds and wish.kinds.isdisjoint({event.kind, word})):
            return None
        if wish.node_uuid not in {None, event.node_uuid}:
            return None
        if self._everything:
            return event
        whose = policy.Tenancy(event.owner, event.lessee)
        if not policy.allows(_RULES[word], self._caller, whose):
            return None
        field, rule = _HIDDEN
        if word != "node" or policy.allows(rule, self._caller, whose):
            return event
        body = {**msgspec.json.decode(event.body), field: None}
        return msgspec.structs.replace(event, body=msgspec.json.encode(body).decode())

    async def next(self) -> events.Event | Notice:
        """The next event, or a notice when none came for a while, or when the stream is over ("cut")."""
        if not self._queue and not self.end:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._filled.wait()
        self._filled.clear()
        if self._queue:
            event = self._queue.popleft()
            self.last = event.id
            return event
        return Notice("cut", self.last, self.end) if self.end else Notice("beat", self.last)


class Feed:
    """All listeners of this process. ``end`` it before the server waits for its connections."""

    def __init__(self, deps: Deps) -> None:
        self._store = deps.store
        self._listeners: set[Listener] = set()
        self._pump: asyncio.Task[None] | None = None
        self._last = 0
        self._rung = asyncio.Event()
        self._ended = False
        deps.bus.listen(lambda _node: self._rung.set())
        deps.bus.answer("follow", self._follow)

    def end(self) -> None:
        """Send every listener away; the service stops."""
        self._ended = True
        if self._pump is not None:
            self._pump.cancel()
        for listener in self._listeners:
            listener.close(_STOPPING)

    async def _follow(self, caller: wire.Caller, wish: Wish) -> AsyncGenerator[Item]:
        """Items for one listener, who must take them until the end or close the iterator. Raises errors.TooMany."""
        if len(self._listeners) >= MOST or self._ended:
            raise errors.TooMany(f"{len(self._listeners)} listeners are served already", retry_after=10)
        oldest, newest = await self._store.read(events.bounds)
        return self._items(Listener(caller, wish), wish.last, oldest, newest)

    async def _items(self, listener: Listener, last: int | None, oldest: int, newest: int) -> AsyncGenerator[Item]:
        listener.last = newest if last is None else last
        if last is not None and not oldest - 1 <= last <= newest:
            listener.last = newest
            why = f"There is no event {last} yet" if last > newest else f"Events after {last} are not kept any more"
            yield Notice("lost", newest, f"{why}. List what you follow again, then go on from here.")
        else:
            yield Notice("begin", listener.last)
        try:
            async for item in self._replay(listener):
                yield item
            until = asyncio.get_running_loop().time() + LIFE
            while True:
                if asyncio.get_running_loop().time() > until:
                    listener.close(f"{LIFE:.0f} seconds have passed. Come back with the last id you have.")
                item = await listener.next()
                yield item
                if isinstance(item, Notice) and item.word == "cut":
                    return
        finally:
            self._listeners.discard(listener)

    async def _replay(self, listener: Listener) -> AsyncGenerator[Item]:
        """What the journal has for a listener; at the end, in the same moment, it joins the others."""
        while True:
            found = await self._store.read(events.list_after, listener.last, _BATCH)
            for event in found:
                shown = listener.shown(event)
                listener.last = event.id
                if shown is not None:
                    yield shown
            running = self._pump is not None and not self._pump.done()
            if len(found) < _BATCH and (not running or listener.last >= self._last):
                break
        if self._ended:
            listener.close(_STOPPING)
        elif not running:
            self._last = listener.last
            self._pump = asyncio.create_task(self._read())
            self._pump.add_done_callback(self._pump_ended)
        self._listeners.add(listener)

    def _pump_ended(self, pump: asyncio.Task[None]) -> None:
        """Nobody may wait for a pump that broke: the listeners come back, and with them a new one."""
        error = None if pump.cancelled() else pump.exception()
        if error is not None:
            _log.error("the live stream broke", exc_info=error)
            for listener in self._listeners:
                listener.close(_BROKEN)

    async def _read(self) -> None:
        """Read the journal for all listeners, until there are none."""
        while self._listeners:
            self._rung.clear()
            try:
                found = await self._store.read(events.list_after, self._last, _BATCH)
            except errors.Unreachable:
                found = []  # the database comes back, or the listeners go
            for event in found:
                self._last = event.id
                for listener in tuple(self._listeners):
                    listener.offer(event)
            if len(found) < _BATCH:
                await asyncio.sleep(_PAUSE)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL):
                        await self._rung.wait()
