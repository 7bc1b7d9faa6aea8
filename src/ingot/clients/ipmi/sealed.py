"""The session of RMCP+ (IPMI 2.0): every message encrypted and authenticated.

Why: this is the hot path of power sync, a few dozen microseconds per read, so key schedules are kept.
May not: log in or know the pool. Invariant: what is unsealed is genuine; whether it is new the conversation tells.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable

from ingot.clients.ipmi import codec, suites
from ingot.clients.ipmi.session import Session
from ingot.clients.ipmi.transport import Peer, Transport

TRAILER = b"\xff\xff\x02\x07"  # a sealed message always needs two pad bytes: 12 + 16 n + 2 + 2
PADS = tuple(bytes(range(1, n + 1)) + bytes((n,)) for n in range(16))
MIN_SEALED = codec.V20_HEADER + 32 + len(TRAILER)
BLOCK = 16
LAST_SEQUENCE = 0xFFFFFFFF
SERIAL_AT = 5  # where a packet says what it carries
SERIAL_HEADER = 4


class SealedSession(Session):
    """A session with one BMC, by keys that only the two know."""

    __slots__ = ("_check_length", "_decrypt", "_encrypt", "_hmac", "_sequence", "on_serial")

    def __init__(
        self, transport: Transport, peer: Peer, ids: tuple[int, int], suite: suites.Suite, keys: suites.Keys
    ) -> None:
        console_id, bmc_id = ids
        super().__init__(transport, peer, console_id, bmc_id)
        self._check_length = suite.check_length
        self._hmac = hmac.new(keys.integrity, digestmod=suite.hash)
        # Loaded for the first BMC: a service without one does without the library.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        # CBC is done here over one kept block cipher: a fresh CBC context per packet costs ten times as much.
        block = Cipher(algorithms.AES(keys.aes), modes.ECB())  # noqa: S305 - only as the block cipher of CBC
        self._encrypt = block.encryptor().update
        self._decrypt = block.decryptor().update
        self._sequence = 0
        self.on_serial: Callable[[bytes], None] | None = None  # who takes the packets of serial over LAN

    def receive(self, packet: bytes) -> None:
        """Hand a genuine answer to the waiting request, a serial packet to who takes those; drop everything else."""
        if self.on_serial is None or len(packet) <= SERIAL_AT or packet[SERIAL_AT] != codec.PAYLOAD_SERIAL:
            super().receive(packet)
            return
        payload = self.unseal(packet, codec.PAYLOAD_SERIAL, SERIAL_HEADER)
        if payload is not None and self._fresh(codec.sequence(packet)):
            self.on_serial(payload)

    def sequence(self, packet: bytes) -> int:
        """Where RMCP+ has it."""
        return codec.sequence(packet)

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
