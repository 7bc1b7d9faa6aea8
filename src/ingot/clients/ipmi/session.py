"""The conversation of an established session: requests, the answers that belong to them, trying again.

Why: it is the same in both versions of the protocol; how a packet is protected is ``sealed``'s and ``clear``'s.
May not: log in or know the pool. Invariant: an answer is believed only when its packet is genuine, its
sequence is new and it belongs to the request that waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence

from ingot.clients.ipmi import codec, completion
from ingot.clients.ipmi.transport import Key, Peer, Transport
from ingot.domain import errors

CLOSE_SESSION = 0x3C
RECEIPT = (codec.NETFN_APP | 1, codec.SEND_MESSAGE)


class NoWay(Exception):
    """The BMC cannot pass a message on; ``code`` is the completion code of its Send Message."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Send Message answered {code:#04x}")
        self.code = code


class Session(ABC):
    """A logged-in session with one BMC. One request at a time: the caller serialises."""

    __slots__ = (
        "_answer",
        "_expected",
        "_key",
        "_no_way",
        "_ordered",
        "_peer_sequence",
        "_relays",
        "_rq_seq",
        "_transport",
        "bmc_id",
        "peer",
        "took",
    )

    def __init__(self, transport: Transport, peer: Peer, key: Key, bmc_id: int) -> None:
        self._transport = transport
        self.peer = peer
        self._key = key
        self.bmc_id = bmc_id
        self._rq_seq = 0
        self._peer_sequence = 0
        self._ordered: bool | None = None  # None: not known yet whether this BMC counts its packets
        self._expected: tuple[int, int, int] = (0, 0, 0)
        self._relays = False  # whether the running request is for a controller behind the BMC
        self._no_way = False  # whether what came is the BMC's refusal to pass it on
        self._answer: asyncio.Future[bytes | None] | None = None
        self.took = 0.0  # seconds until the last answer
        transport.sessions[key] = self

    @abstractmethod
    def seal(self, message: bytes) -> bytes:
        """The packet with one IPMI message, protected as this session does it."""

    @abstractmethod
    def unseal(self, packet: bytes) -> bytes | None:
        """The IPMI message in a packet, its checksums looked at or covered; None for anything not genuine."""

    @abstractmethod
    def sequence(self, packet: bytes) -> int:
        """The session sequence number of a genuine packet."""

    async def request(self, asked: codec.Request, waits: Sequence[float]) -> bytes | None:
        """Send a request, again after each of ``waits`` seconds.

        Gives completion code + data, or None when no answer came. Raises ``NoWay`` when the BMC cannot pass it on.
        """
        self._rq_seq = rq_seq = (self._rq_seq + 1) & 0x3F
        netfn, command, data, bridge, _ = asked
        if bridge is None:
            message = codec.request(netfn, command, rq_seq, data)
        else:
            message = codec.bridged(asked, bridge, rq_seq)
        self._relays = bridge is not None
        self._expected = (netfn | 1, rq_seq, command)
        transport = self._transport
        began = transport.loop.time()
        for seconds in waits:
            self._answer = transport.loop.create_future()
            transport.send(self.seal(message), self.peer)
            body = await transport.wait(self._answer, seconds)
            if body is not None:
                self.took = transport.loop.time() - began
                if self._no_way:
                    self._no_way = False
                    raise NoWay(body[0])
                return body
        return None

    async def close(self, wait: float) -> None:
        """Free the BMC's session slot, waiting at most ``wait`` seconds for its word; never raises."""
        await self.request(codec.Request(codec.NETFN_APP, CLOSE_SESSION, struct.pack("<I", self.bmc_id)), (wait,))
        self.forget()

    def abandon(self) -> None:
        """Drop the session, and tell the BMC so without waiting: one that is only slow frees its slot; never raises."""
        self._rq_seq = (self._rq_seq + 1) & 0x3F
        message = codec.request(codec.NETFN_APP, CLOSE_SESSION, self._rq_seq, struct.pack("<I", self.bmc_id))
        with contextlib.suppress(errors.Unreachable):
            self._transport.send(self.seal(message), self.peer)
        self.forget()

    def forget(self) -> None:
        """Drop the session without telling the BMC."""
        self._transport.sessions.pop(self._key, None)

    def receive(self, packet: bytes) -> None:
        """Hand a genuine answer to the waiting request; drop everything else."""
        waiting = self._answer
        if waiting is None or waiting.done():
            return
        message = self.unseal(packet)
        if message is None:
            return
        expected = (message[1] >> 2, message[4] >> 2, message[5])
        if expected == self._expected and self._fresh(self.sequence(packet)):
            waiting.set_result(message[6:-1])
        elif self._relays and expected == (RECEIPT[0], self._rq_seq, RECEIPT[1]) and self._fresh(self.sequence(packet)):
            self._passed_on(message[6:-1], waiting)

    def _passed_on(self, body: bytes, waiting: asyncio.Future[bytes | None]) -> None:
        """A Send Message was answered: with a refusal, with the answer inside, or only with a receipt."""
        if body[0] != completion.SUCCESS:
            self._no_way = True
            waiting.set_result(body)
            return
        inner = codec.response(body[1:])
        if inner is None:
            return
        if (inner.netfn, inner.rq_seq, inner.command) == self._expected:
            waiting.set_result(inner.body)
        elif (inner.netfn, inner.command) == RECEIPT:
            self._passed_on(inner.body, waiting)

    def _fresh(self, sequence: int) -> bool:
        """Whether this answer is no replay. A BMC that does not count is found by its second answer."""
        newer = sequence > self._peer_sequence
        if self._ordered is None and self._peer_sequence:
            self._ordered = newer
        if newer or not self._ordered:
            self._peer_sequence = sequence or 1
            return True
        return False
