"""Cipher suites 3 and 17: their algorithms, and the RAKP computations made with them.

Why: all cryptography of the session set-up in one place, from IPMI 2.0 sections 13.20 to 13.32 and 22.15.2.
May not: do I/O. Invariant: pure functions of their arguments.
"""

from __future__ import annotations

import hmac
import struct
from typing import NamedTuple

AES_CBC_128 = 1


class Suite(NamedTuple):
    """One cipher suite: wire numbers of its algorithms, its hash, and the length of a cut-off check value."""

    number: int
    authentication: int
    integrity: int
    hash: str
    digest_length: int
    check_length: int


SUITE_3 = Suite(3, 1, 1, "sha1", 20, 12)
SUITE_17 = Suite(17, 3, 4, "sha256", 32, 16)
PREFERRED = (SUITE_17, SUITE_3)
BY_NUMBER = {suite.number: suite for suite in PREFERRED}
BY_ALGORITHMS = {(s.authentication, s.integrity, AES_CBC_128): s for s in PREFERRED}


class Exchange(NamedTuple):
    """What both sides know after RAKP 2; ``role`` is the byte sent in RAKP 1."""

    console_id: int
    bmc_id: int
    console_random: bytes
    bmc_random: bytes
    guid: bytes
    role: int
    username: bytes


class Keys(NamedTuple):
    """Keys of an established session."""

    sik: bytes
    integrity: bytes
    aes: bytes


def user_key(password: str) -> bytes:
    """The password as a 20-byte key."""
    return password.encode().ljust(20, b"\0")


def rakp2_code(suite: Suite, key: bytes, x: Exchange) -> bytes:
    """The key-exchange code a BMC that knows the password sends in RAKP 2."""
    ids = struct.pack("<II", x.console_id, x.bmc_id)
    return hmac.digest(key, ids + x.console_random + x.bmc_random + x.guid + _who(x), suite.hash)


def rakp3_code(suite: Suite, key: bytes, x: Exchange) -> bytes:
    """The key-exchange code that proves to the BMC that we know the password."""
    return hmac.digest(key, x.bmc_random + struct.pack("<I", x.console_id) + _who(x), suite.hash)


def derive(suite: Suite, key: bytes, x: Exchange) -> Keys:
    """Session keys; ``key`` is the Kg key, or the user's key when the BMC has none."""
    sik = hmac.digest(key, x.console_random + x.bmc_random + _who(x), suite.hash)
    k1 = hmac.digest(sik, b"\x01" * 20, suite.hash)
    k2 = hmac.digest(sik, b"\x02" * 20, suite.hash)
    return Keys(sik, k1, k2[:16])


def rakp4_check(suite: Suite, sik: bytes, x: Exchange) -> bytes:
    """The integrity check value of RAKP 4."""
    code = hmac.digest(sik, x.console_random + struct.pack("<I", x.bmc_id) + x.guid, suite.hash)
    return code[: suite.check_length]


def offered(records: bytes) -> set[int]:
    """Suite numbers in the records of Get Channel Cipher Suites (22.15.1); unknown bytes are skipped."""
    numbers: set[int] = set()
    position = 0
    while position + 1 < len(records):
        match records[position]:
            case 0xC0:
                numbers.add(records[position + 1])
                position += 2
            case 0xC1:  # OEM suite: number, three bytes of IANA, then algorithms
                position += 5
            case _:
                position += 1
    return numbers


def _who(x: Exchange) -> bytes:
    return bytes((x.role, len(x.username))) + x.username
