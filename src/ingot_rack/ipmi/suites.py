"""Cipher suites 3 and 17: keys, integrity and confidentiality.

Why: the arithmetic of RMCP+ in one place (IPMI 2.0 specification, sections 13.20 to 13.33, table 22-20).
May not: know sessions or packets. Invariant: suite 0 is not in the table, so it cannot be chosen.
"""

from __future__ import annotations

import dataclasses
import hmac
import os
import uuid

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class BadPadding(Exception):
    """A decrypted payload does not end as the specification says."""


@dataclasses.dataclass(frozen=True, slots=True)
class Suite:
    """One cipher suite: algorithm numbers, digest and the truncated lengths."""

    number: int
    authentication: int
    integrity: int
    confidentiality: int
    digest: str
    code_length: int

    def mac(self, key: bytes, data: bytes) -> bytes:
        """The full keyed hash."""
        return hmac.digest(key, data, self.digest)

    def short_mac(self, key: bytes, data: bytes) -> bytes:
        """The keyed hash, cut as packets and RAKP 4 carry it."""
        return self.mac(key, data)[: self.code_length]

    def derived(self, sik: bytes, number: int) -> bytes:
        """K1 or K2 from the session integrity key."""
        return self.mac(sik, bytes([number]) * 20)


SUITES = (
    Suite(3, 0x01, 0x01, 0x01, "sha1", 12),
    Suite(17, 0x03, 0x04, 0x01, "sha256", 16),
)


def find(authentication: int, integrity: int, confidentiality: int) -> Suite | None:
    """The offered suite made of exactly these algorithms, or None."""
    wanted = (authentication, integrity, confidentiality)
    return next((s for s in SUITES if (s.authentication, s.integrity, s.confidentiality) == wanted), None)


def records() -> bytes:
    """The cipher suite records of Get Channel Cipher Suites."""
    return b"".join(
        bytes([0xC0, s.number, s.authentication, 0x40 | s.integrity, 0x80 | s.confidentiality]) for s in SUITES
    )


def encrypt(key: bytes, plain: bytes) -> bytes:
    """AES-CBC-128 with a fresh initialisation vector in front and the counting pad behind."""
    pad = -(len(plain) + 1) % 16
    padded = plain + bytes(range(1, pad + 1)) + bytes([pad])
    vector = os.urandom(16)
    encryptor = Cipher(algorithms.AES128(key), modes.CBC(vector)).encryptor()
    return vector + encryptor.update(padded) + encryptor.finalize()


def decrypt(key: bytes, data: bytes) -> bytes:
    """Undo `encrypt`; raises BadPadding."""
    if len(data) < 32 or len(data) % 16:
        raise BadPadding(f"{len(data)} bytes are not whole blocks")
    decryptor = Cipher(algorithms.AES128(key), modes.CBC(data[:16])).decryptor()
    padded = decryptor.update(data[16:]) + decryptor.finalize()
    pad = padded[-1]
    if pad > 15 or padded[-1 - pad : -1] != bytes(range(1, pad + 1)):
        raise BadPadding("the pad does not count up")
    return padded[: -1 - pad]


def random_id() -> int:
    """A session number no one can guess, never 0."""
    return int.from_bytes(os.urandom(4), "little") | 1


def same(left: bytes, right: bytes) -> bool:
    """Compare two codes without telling by time where they differ."""
    return hmac.compare_digest(left, right)


def guid(text: str) -> bytes:
    """A machine's UUID in the byte order that SMBIOS and most BMCs use."""
    return uuid.UUID(text).bytes_le
