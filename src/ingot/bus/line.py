"""A connection to RabbitMQ: exchanges, this process's queues, and what is sent. May not: know a verb, or try again.

Invariant: a connection that ends sets ``closed``, and its queues end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

import aio_pika
import msgspec
import yarl
from aio_pika import abc, exceptions

from ingot.bus import envelopes

BROKEN = (exceptions.AMQPError, exceptions.ChannelInvalidStateError, OSError, TimeoutError, RuntimeError)
"""What aio-pika raises when a connection ends; RuntimeError: an operation on a channel that is closed already."""
for _name in ("aio_pika", "aiormq"):
    # They would write a line for each try, in their own words; what ends a connection is told once, by the bus.
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False
MOST_RINGS = 1000
_RINGS = "ingot.rings"
_CALLS = "ingot.calls"
_HEARTBEAT = 5
"""Seconds; after two of them in silence a broker, or a client, is taken for gone."""
_PATIENCE = 10.0
_AT_ONCE = 256
"""Calls that one process answers at a time."""
_Take = Callable[[abc.AbstractIncomingMessage], Awaitable[None]]


class Takers(NamedTuple):
    """Who takes what comes; ``calls``: None where the process answers none."""

    rings: _Take
    replies: _Take
    calls: _Take | None


class Line:
    """One connection's channel with its exchanges."""

    def __init__(self, channel: abc.AbstractChannel, replies: str) -> None:
        self.closed = asyncio.Event()
        self._channel = channel
        self._replies = replies
        self.rings: abc.AbstractExchange
        self.calls: abc.AbstractExchange

    async def declare(self) -> None:
        """Make the exchanges where they are missing."""
        self.rings = await self._channel.declare_exchange(_RINGS, abc.ExchangeType.FANOUT)
        self.calls = await self._channel.declare_exchange(_CALLS, abc.ExchangeType.DIRECT)

    async def send_call(self, host: str, call: envelopes.Call, key: str) -> None:
        """Raises exceptions.PublishError when no such conductor is connected."""
        body = msgspec.json.encode(call)
        message = aio_pika.Message(body, correlation_id=key, reply_to=self._replies, expiration=call.within)
        await self.calls.publish(message, host, mandatory=True, timeout=_PATIENCE)

    async def send_reply(self, asked: abc.AbstractIncomingMessage, reply: envelopes.Reply) -> None:
        """Answer a call; nobody may be waiting for it any more."""
        body = msgspec.json.encode(reply)
        message = aio_pika.Message(body, correlation_id=asked.correlation_id, expiration=60.0)
        where = self._channel.default_exchange
        await where.publish(message, asked.reply_to or "", mandatory=False, timeout=_PATIENCE)

    async def send_rings(self, rings: envelopes.Rings, sender: str) -> None:
        """Ring everywhere."""
        message = aio_pika.Message(msgspec.json.encode(rings), app_id=sender, expiration=10.0)
        await self.rings.publish(message, "", mandatory=False, timeout=_PATIENCE)


@contextlib.asynccontextmanager
async def connected(url: yarl.URL, hostname: str, takers: Takers) -> AsyncGenerator[Line]:
    """A connection with this process's queues. Raises BROKEN."""
    wanted = url if "heartbeat" in url.query else url.update_query(heartbeat=_HEARTBEAT)
    named: dict[str, Any] = {"connection_name": f"ingot {hostname}"}
    async with asyncio.timeout(_PATIENCE):
        connection = await aio_pika.connect(wanted, timeout=_PATIENCE, client_properties=named)
    try:
        async with asyncio.timeout(_PATIENCE):
            line = await _set_up(connection, hostname, takers)
        yield line
    finally:
        with contextlib.suppress(*BROKEN):
            async with asyncio.timeout(_PATIENCE):
                await connection.close()


async def _set_up(connection: abc.AbstractConnection, hostname: str, takers: Takers) -> Line:
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    await channel.set_qos(prefetch_count=_AT_ONCE)
    replies = await channel.declare_queue(exclusive=True)
    line = Line(channel, replies.name)
    await line.declare()
    rung = await channel.declare_queue(exclusive=True, arguments={"x-max-length": MOST_RINGS})
    await rung.bind(line.rings)
    await replies.consume(takers.replies, no_ack=True)
    await rung.consume(takers.rings, no_ack=True)
    if takers.calls is not None:
        calls = await channel.declare_queue(exclusive=True)
        await calls.bind(line.calls, hostname)
        await calls.consume(takers.calls)

    def ended(_sender: Any, _reason: BaseException | None) -> None:
        line.closed.set()

    connection.close_callbacks.add(ended)
    channel.close_callbacks.add(ended)
    return line
