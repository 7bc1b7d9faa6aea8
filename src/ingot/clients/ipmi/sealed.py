"""The session of RMCP+ (IPMI 2.0): every message encrypted and authenticated, as far as its cipher suite does that.

Why: this is the hot path of power sync, a few dozen microseconds per read, so key schedules are kept.
May not: log in or know the pool. Invariant: what is unsealed is genuine, where the suite has a check; whether it is new
the conversation tells.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable

from ingot.clients.ipmi import codec, suites
from ingot.clients.ipmi.session import Session
from ingot.clients.ipmi.transport import Peer, Transport

TRAILERS = tuple(b"\xff" * n + bytes((n, 7)) for n in (2, 1, 0, 3))  # by a packet's length: what is checked fills words
PADS = tuple(bytes(range(1, n + 1)) + bytes((n,)) for n in range(16))
LEAST_TRAILER = 2
BLOCK = 16
LAST_SEQUENCE = 0xFFFFFFFF
SERIAL_AT = 5  # where a packet says what it carries
SERIAL_HEADER = 4
_Blocks = Callable[[bytes], bytes]


class SealedSession(Session):
    """A session with one BMC, by keys that only the two know; ``flags`` say what protects it (suites.Suite)."""

    __slots__ = ("_check", "_check_length", "_decrypt", "_encrypt", "_sequence", "flags", "on_serial")

    def __init__(
        self, transport: Transport, peer: Peer, ids: tuple[int, int], suite: suites.Suite, keys: suites.Keys
    ) -> None:
        console_id, bmc_id = ids
        super().__init__(transport, peer, console_id, bmc_id)
        self.flags, self._check_length = suite.flags, suite.check_length
        self._check = suites.checker(suite, keys.integrity)
        self._encrypt, self._decrypt = _block_cipher(keys.aes) if suite.confidentiality else (None, None)
        self._sequence = 0
        self.on_serial: Callable[[bytes], None] | None = None  # who takes the packets of serial over LAN

    def receive(self, packet: bytes) -> None:
        """Hand a genuine answer to the waiting request, a serial packet to who takes those; drop everything else."""
        serial = codec.PAYLOAD_SERIAL | self.flags
        if self.on_serial is None or len(packet) <= SERIAL_AT or packet[SERIAL_AT] != serial:
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

    def seal(self, message: bytes, kind: int = codec.PAYLOAD_IPMI) -> bytes:
        """Encrypt and authenticate one IPMI message, or another payload of ``kind``."""
        self._sequence = self._sequence + 1 if self._sequence < LAST_SEQUENCE else 1
        body = message if self._encrypt is None else _chained(message, self._encrypt)
        packet = (
            codec.SEALED_HEADER.pack(
                codec.RMCP, codec.AUTH_RMCPP, kind | self.flags, self.bmc_id, self._sequence, len(body)
            )
            + body
        )
        if not self._check_length:
            return packet
        packet += TRAILERS[len(packet) & 3]
        return packet + self._check(packet[4:])

    def unseal(self, packet: bytes, kind: int = codec.PAYLOAD_IPMI, shortest: int = codec.MIN_RESPONSE) -> bytes | None:
        """The IPMI message (or other payload of ``kind``) inside a sealed packet; None for anything not genuine.

        The inner checksums are looked at only where no check value covers them.
        """
        if len(packet) < codec.V20_HEADER or packet[5] != kind | self.flags:
            return None
        end = codec.V20_HEADER + codec.sealed_length(packet)
        if not self._is_genuine(packet, end):
            return None
        body = packet[codec.V20_HEADER : end]
        plain = body if self._decrypt is None else _unchained(body, self._decrypt)
        if plain is None or len(plain) < shortest:
            return None
        covered = self._check_length or kind != codec.PAYLOAD_IPMI
        return plain if covered or codec.response(plain) is not None else None

    def _is_genuine(self, packet: bytes, end: int) -> bool:
        length = self._check_length
        if not length:
            return len(packet) >= end
        if len(packet) < end + LEAST_TRAILER + length:
            return False
        return hmac.compare_digest(self._check(packet[4:-length]), packet[-length:])


def _block_cipher(key: bytes) -> tuple[_Blocks, _Blocks]:
    """Encryption and decryption of whole blocks.

    CBC is done here over one kept block cipher: a fresh CBC context per packet costs ten times as much.
    """
    # Loaded for the first BMC: a service without one does without the library.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    block = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - only as the block cipher of CBC
    return block.encryptor().update, block.decryptor().update


def _chained(message: bytes, encrypt: _Blocks) -> bytes:
    """AES-CBC-128 by the cipher of its blocks, the fresh vector in front and the counting pad behind (13.29)."""
    plain = message + PADS[-(len(message) + 1) % BLOCK]
    last = os.urandom(BLOCK)
    blocks = [last]
    for start in range(0, len(plain), BLOCK):
        mixed = int.from_bytes(plain[start : start + BLOCK], "big") ^ int.from_bytes(last, "big")
        last = encrypt(mixed.to_bytes(BLOCK, "big"))
        blocks.append(last)
    return b"".join(blocks)


def _unchained(chained: bytes, decrypt: _Blocks) -> bytes | None:
    """Undo ``_chained``; None for what it cannot have made."""
    if len(chained) < 2 * BLOCK or len(chained) % BLOCK:
        return None
    cipher = chained[BLOCK:]
    mixed = int.from_bytes(decrypt(cipher), "big") ^ int.from_bytes(chained[:-BLOCK], "big")
    plain = mixed.to_bytes(len(cipher), "big")
    return plain[: -plain[-1] - 1] if plain[-1] < BLOCK else None
