"""One established RMCP+ session: sealing requests, opening answers, trying again.

Why: this is the hot path of power sync, a few dozen microseconds per read, so key schedules are kept.
May not: log in or know the pool. Invariant: an answer is believed only when its check value is right, its
sequence is new and it belongs to the request that waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import struct
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ingot.clients.ipmi import codec, completion, suites
from ingot.clients.ipmi.transport import Peer, Transport
from ingot.domain import errors

TRAILER = b"\xff\xff\x02\x07"  # a sealed message always needs two pad bytes: 12 + 16 n + 2 + 2
PADS = tuple(bytes(range(1, n + 1)) + bytes((n,)) for n in range(16))
MIN_SEALED = codec.V20_HEADER + 32 + len(TRAILER)
BLOCK = 16
LAST_SEQUENCE = 0xFFFFFFFF

CLOSE_SESSION = 0x3C
SERIAL_AT = 5  # where a packet says what it carries
SERIAL_HEADER = 4

RECEIPT = (codec.NETFN_APP | 1, codec.SEND_MESSAGE)


class NoWay(Exception):
    """The BMC cannot pass a message on; ``code`` is the completion code of its Send Message."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Send Message answered {code:#04x}")
        self.code = code


class Session:
    """A logged-in session with one BMC. One request at a time: the caller serialises."""

    __slots__ = (
        "_answer",
        "_check_length",
        "_decrypt",
        "_encrypt",
        "_expected",
        "_hmac",
        "_no_way",
        "_ordered",
        "_peer_sequence",
        "_relays",
        "_rq_seq",
        "_sequence",
        "_transport",
        "bmc_id",
        "console_id",
        "on_serial",
        "peer",
        "took",
    )

    def __init__(
        self, transport: Transport, peer: Peer, ids: tuple[int, int], suite: suites.Suite, keys: suites.Keys
    ) -> None:
        self._transport = transport
        self.peer = peer
        self.console_id, self.bmc_id = ids
        self._check_length = suite.check_length
        self._hmac = hmac.new(keys.integrity, digestmod=suite.hash)
        # CBC is done here over one kept block cipher: a fresh CBC context per packet costs ten times as much.
        block = Cipher(algorithms.AES(keys.aes), modes.ECB())  # noqa: S305 - only as the block cipher of CBC
        self._encrypt = block.encryptor().update
        self._decrypt = block.decryptor().update
        self._sequence = 0
        self._rq_seq = 0
        self._peer_sequence = 0
        self._ordered: bool | None = None  # None: not known yet whether this BMC counts its packets
        self._expected: tuple[int, int, int] = (0, 0, 0)
        self._relays = False  # whether the running request is for a controller behind the BMC
        self._no_way = False  # whether what came is the BMC's refusal to pass it on
        self._answer: asyncio.Future[bytes | None] | None = None
        self.took = 0.0  # seconds until the last answer
        self.on_serial: Callable[[bytes], None] | None = None  # who takes the packets of serial over LAN
        transport.sessions[self.console_id] = self

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
        self._transport.sessions.pop(self.console_id, None)

    def receive(self, packet: bytes) -> None:
        """Hand a genuine answer to the waiting request, a serial packet to who takes those; drop everything else."""
        if self.on_serial is not None and len(packet) > SERIAL_AT and packet[SERIAL_AT] == codec.PAYLOAD_SERIAL:
            payload = self.unseal(packet, codec.PAYLOAD_SERIAL, SERIAL_HEADER)
            if payload is not None and self._fresh(codec.sequence(packet)):
                self.on_serial(payload)
            return
        waiting = self._answer
        if waiting is None or waiting.done():
            return
        message = self.unseal(packet)
        if message is None:
            return
        expected = (message[1] >> 2, message[4] >> 2, message[5])
        if expected == self._expected and self._fresh(codec.sequence(packet)):
            waiting.set_result(message[6:-1])
        elif self._relays and (expected[0], expected[2]) == RECEIPT and self._fresh(codec.sequence(packet)):
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

    def send_serial(self, payload: bytes) -> None:
        """Send one packet of serial over LAN. Raises ``errors.Unreachable`` without a route."""
        self._transport.send(self.seal(payload, codec.PAYLOAD_SERIAL), self.peer)

    def seal(self, message: bytes, kind: int = codec.PAYLOAD_SEALED) -> bytes:
        """Encrypt and authenticate one IPMI message, or another payload of ``kind``."""
        self._sequence = self._sequence + 1 if self._sequence < LAST_SEQUENCE else 1
        plain = message + PADS[-(len(message) + 1) % BLOCK]
        last = os.urandom(BLOCK)
        blocks = [last]
        for start in range(0, len(plain), BLOCK):
            mixed = int.from_bytes(plain[start : start + BLOCK], "big") ^ int.from_bytes(last, "big")
            last = self._encrypt(mixed.to_bytes(BLOCK, "big"))
            blocks.append(last)
        body = b"".join(blocks)
        packet = (
            codec.SEALED_HEADER.pack(codec.RMCP, codec.AUTH_RMCPP, kind, self.bmc_id, self._sequence, len(body))
            + body
            + TRAILER
        )
        return packet + self._check(packet[4:])

    def unseal(
        self, packet: bytes, kind: int = codec.PAYLOAD_SEALED, shortest: int = codec.MIN_RESPONSE
    ) -> bytes | None:
        """The IPMI message (or other payload of ``kind``) inside a sealed packet; None for anything not genuine.

        The inner checksums are not looked at: the check value already covers them.
        """
        if len(packet) < MIN_SEALED + self._check_length or packet[5] != kind:
            return None
        covered = packet[4 : -self._check_length]
        if not hmac.compare_digest(self._check(covered), packet[-self._check_length :]):
            return None
        size = codec.sealed_length(packet)
        if size < 2 * BLOCK or size % BLOCK or len(covered) < size + 14:
            return None
        chained = packet[codec.V20_HEADER : codec.V20_HEADER + size]
        cipher = chained[BLOCK:]
        mixed = int.from_bytes(self._decrypt(cipher), "big") ^ int.from_bytes(chained[:-BLOCK], "big")
        plain = mixed.to_bytes(len(cipher), "big")
        end = len(plain) - plain[-1] - 1
        return plain[:end] if plain[-1] < BLOCK and end >= shortest else None

    def _check(self, data: bytes) -> bytes:
        mac = self._hmac.copy()
        mac.update(data)
        return mac.digest()[: self._check_length]

    def _fresh(self, sequence: int) -> bool:
        """Whether this answer is no replay. A BMC that does not count is found by its second answer."""
        newer = sequence > self._peer_sequence
        if self._ordered is None and self._peer_sequence:
            self._ordered = newer
        if newer or not self._ordered:
            self._peer_sequence = sequence or 1
            return True
        return False
