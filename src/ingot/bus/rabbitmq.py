"""The bus over RabbitMQ: rings reach every process, calls the conductor they are for.

Nothing here is the only copy of anything: what is to be done stands in the database, so queues are exclusive and end
with their process, and no message is kept on disk (docs/decisions/0020-several-conductors.md). A call is published
mandatory and confirmed, so one that nobody can take fails at once; it runs at most once. The connection is made again
for ever; without it rings are heard in this process alone, and calls fail with a sentence. May not: know what a verb
means, or write a password anywhere. Invariant: every wait has a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import structlog
import yarl
from aio_pika import abc, exceptions

from ingot.bus import envelopes, line
from ingot.bus.base import NODES, Answer, Listener, Route
from ingot.bus.memory import MemoryBus, too_late
from ingot.domain import errors, typed

_log = structlog.get_logger("ingot.bus")
_PAUSE = 1.0
_GATHER = 0.005
"""Rings that come within this many seconds travel together."""


class RabbitBus:
    """Rings and calls between processes.

    ``url``: amqp:// or amqps://; ``hostname``: this process's name among the conductors; ``conductor``: it is one.
    """

    def __init__(self, url: str, hostname: str, *, conductor: bool) -> None:
        self._url = yarl.URL(url)
        if self._url.scheme not in {"amqp", "amqps"} or not self._url.host:
            raise errors.Invalid("The setting broker is no URL of RabbitMQ", hint="Write amqp://USER:PASSWORD@HOST/.")
        self._hostname = hostname
        self._takers = line.Takers(self._heard, self._answered, self._asked if conductor else None)
        self._id = uuid.uuid4().hex
        self._local = MemoryBus()
        self._route: Route | None = None
        self._rung: dict[str, dict[str, None]] = {}
        self._to_ring = asyncio.Event()
        self._open: line.Line | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, asyncio.Future[envelopes.Reply]] = {}

    @contextlib.asynccontextmanager
    async def running(self, route: Route) -> AsyncGenerator[None]:
        """Keep connected while the context lasts; a broker that is not there yet is waited for beside it."""
        self._route = route
        tasks = [asyncio.create_task(self._keep_connected()), asyncio.create_task(self._send_rings())]
        try:
            yield
        finally:
            for task in (*tasks, *self._answering):
                task.cancel()
            await asyncio.gather(*tasks, *self._answering, return_exceptions=True)

    def listen(self, listener: Listener, topic: str = NODES) -> None:
        """See base.Bus."""
        self._local.listen(listener, topic)

    def ring(self, uuid: str, topic: str = NODES) -> None:
        """See base.Bus. Here it is heard at once, elsewhere a little later."""
        self._local.ring(uuid, topic)
        waiting = self._rung.setdefault(topic, {})
        if len(waiting) < line.MOST_RINGS:
            waiting[uuid] = None
        self._to_ring.set()

    def answer(self, verb: str, function: Answer) -> None:
        """See base.Bus."""
        self._local.answer(verb, function)

    def answers(self, verb: str) -> bool:
        """See base.Bus."""
        return self._local.answers(verb)

    async def call(self, verb: str, within: float = 60.0, **payload: Any) -> Any:
        """See base.Bus. Raises what the conductor raised."""
        host = await self._route(payload) if self._route else None
        if host is None or (host == self._hostname and self._local.answers(verb)):
            return await self._local.call(verb, within, **payload)
        try:
            async with asyncio.timeout(within):
                reply = await self._ask(host, envelopes.Call(verb, within, payload))
        except TimeoutError as error:
            raise too_late(verb, within) from error
        if reply.failure is not None:
            raise envelopes.raised(reply.failure)
        return reply.value

    async def _ask(self, host: str, asked: envelopes.Call) -> envelopes.Reply:
        present = self._open
        if present is None:
            raise self._broken(f"the call {asked.verb} could not be sent")
        key = uuid.uuid4().hex
        future = self._waiting[key] = asyncio.get_running_loop().create_future()
        try:
            await present.send_call(host, asked, key)
            return await future
        except exceptions.PublishError as error:
            raise errors.Unreachable(
                f"The conductor {host} is not connected to the message broker",
                hint="Look at its log; should it be gone, another one takes its nodes over within seconds.",
            ) from error
        except line.BROKEN as error:
            if isinstance(error, TimeoutError):
                raise
            raise self._broken(f"whether {asked.verb} was done is not known") from error
        finally:
            del self._waiting[key]

    def _broken(self, words: str) -> errors.Unreachable:
        return errors.Unreachable(
            f"The message broker {self._place} is not reached: {words}",
            hint="It is tried again every second: start it, or correct its URL.",
        )

    @property
    def _place(self) -> str:
        return f"{self._url.host}:{self._url.port or (5671 if self._url.scheme == 'amqps' else 5672)}"

    # --- the connection -----------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        told = False
        while True:
            try:
                async with line.connected(self._url, self._hostname, self._takers) as made:
                    self._open, told = made, False
                    _log.info("message broker reached", broker=self._place)
                    self._local.ring_all()
                    await made.closed.wait()
                    reason = "the connection ended"
            except line.BROKEN as error:
                reason = type(error).__name__
            self._open = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(self._broken("the connection ended while a call was under way"))
            if not told:
                _log.warning("message broker not reached", broker=self._place, reason=reason)
            told = True
            await asyncio.sleep(_PAUSE)

    async def _send_rings(self) -> None:
        while True:
            await self._to_ring.wait()
            await asyncio.sleep(_GATHER)
            self._to_ring.clear()
            rung, self._rung = self._rung, {}
            present = self._open
            for topic, uuids in rung.items():
                if present is None:
                    break
                with contextlib.suppress(*line.BROKEN):
                    await present.send_rings(envelopes.Rings(topic, list(uuids)), self._id)

    async def _heard(self, message: abc.AbstractIncomingMessage) -> None:
        if message.app_id == self._id:
            return
        with contextlib.suppress(msgspec.DecodeError):
            rings = typed.decode(message.body, envelopes.Rings)
            for one in rings.uuids:
                self._local.ring(one, rings.topic)

    async def _answered(self, message: abc.AbstractIncomingMessage) -> None:
        future = self._waiting.get(message.correlation_id or "")
        if future is not None and not future.done():
            try:
                future.set_result(typed.decode(message.body, envelopes.Reply))
            except msgspec.DecodeError:
                future.set_exception(self._broken("an answer came that is none"))

    async def _asked(self, message: abc.AbstractIncomingMessage) -> None:
        task = asyncio.create_task(self._work(message))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _work(self, message: abc.AbstractIncomingMessage) -> None:
        """Answer one call. Taken off the queue at its end, so that no more are under way than ``_AT_ONCE``."""
        try:
            call = typed.decode(message.body, envelopes.Call)
        except msgspec.DecodeError:
            await message.reject()
            return
        work = asyncio.create_task(self._local.call(call.verb, call.within, **call.payload))
        try:
            await asyncio.wait({work})
        finally:
            work.cancel()
        error = work.exception()
        reply = envelopes.failing(error) if error else envelopes.given(call.verb, work.result())
        present = self._open
        with contextlib.suppress(*line.BROKEN):
            if present is not None:
                await present.send_reply(message, reply)
            await message.ack()
