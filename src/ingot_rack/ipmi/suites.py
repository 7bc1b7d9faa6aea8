"""Cipher suites: keys, integrity and confidentiality.

Why: the arithmetic of RMCP+ in one place (IPMI 2.0 specification, sections 13.20 to 13.33, table 22-20).
May not: know sessions or packets. Invariant: suite 0 is not in the table, so it cannot be chosen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
import uuid
from collections.abc import Container

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class BadPadding(Exception):
    """A decrypted payload does not end as the specification says."""


@dataclasses.dataclass(frozen=True, slots=True)
class Suite:
    """One cipher suite: algorithm numbers, digest, and the truncated lengths: of RAKP 4's code and of a packet's."""

    number: int
    authentication: int
    integrity: int
    confidentiality: int
    digest: str
    proof_length: int
    code_length: int

    def mac(self, key: bytes, data: bytes) -> bytes:
        """The full keyed hash."""
        return hmac.digest(key, data, self.digest)

    def proof(self, key: bytes, data: bytes) -> bytes:
        """The keyed hash, cut as RAKP 4 carries it."""
        return self.mac(key, data)[: self.proof_length]

    def code(self, k1: bytes, password: bytes, data: bytes) -> bytes:
        """What ends a packet; MD5-128 is no keyed hash, but one of the password (20 bytes) and data between."""
        if self.integrity == _MD5_128:
            return hashlib.md5(password + data + password, usedforsecurity=False).digest()
        return self.mac(k1, data)[: self.code_length]

    def derived(self, sik: bytes, number: int) -> bytes:
        """K1 or K2 from the session integrity key."""
        return self.mac(sik, bytes([number]) * 20)


_MD5_128 = 0x03
SUITES = (
    Suite(1, 0x01, 0x00, 0x00, "sha1", 12, 0),
    Suite(2, 0x01, 0x01, 0x00, "sha1", 12, 12),
    Suite(3, 0x01, 0x01, 0x01, "sha1", 12, 12),
    Suite(6, 0x02, 0x00, 0x00, "md5", 16, 0),
    Suite(7, 0x02, 0x02, 0x00, "md5", 16, 16),
    Suite(8, 0x02, 0x02, 0x01, "md5", 16, 16),
    Suite(11, 0x02, _MD5_128, 0x00, "md5", 16, 16),
    Suite(12, 0x02, _MD5_128, 0x01, "md5", 16, 16),
    Suite(15, 0x03, 0x00, 0x00, "sha256", 16, 0),
    Suite(16, 0x03, 0x04, 0x00, "sha256", 16, 16),
    Suite(17, 0x03, 0x04, 0x01, "sha256", 16, 16),
)


def find(offered: Container[int], authentication: int, integrity: int, confidentiality: int) -> Suite | None:
    """The offered suite made of exactly these algorithms, or None; ``offered`` are numbers."""
    wanted = (authentication, integrity, confidentiality)
    same = (s for s in SUITES if (s.authentication, s.integrity, s.confidentiality) == wanted)
    return next((s for s in same if s.number in offered), None)


def records(offered: Container[int]) -> bytes:
    """The cipher suite records of Get Channel Cipher Suites."""
    shown = (s for s in SUITES if s.number in offered)
    return b"".join(
        bytes([0xC0, s.number, s.authentication, 0x40 | s.integrity, 0x80 | s.confidentiality]) for s in shown
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
