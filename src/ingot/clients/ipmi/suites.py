"""Cipher suites: their algorithms, and the RAKP computations made with them.

Why: all cryptography of the session set-up in one place, from IPMI 2.0 sections 13.20 to 13.32 and 22.15.2.
May not: do I/O. Invariants: pure functions of their arguments; a suite that is not among the preferred, for it lacks
encryption, a check of messages or a sound hash, is for a BMC whose operator names it. Left out are 0, which proves no
password, and those with RC4, which neither ipmitool nor FreeIPMI speaks.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import struct
from collections.abc import Callable
from typing import NamedTuple

MD5_128 = 3  # the one check that is no HMAC, and has the password for its key
_ENCRYPTED, _CHECKED = 0x80, 0x40
_NOTHING, _SHA1_96 = 0, 1
_SHA1, _MD5, _SHA256 = 1, 2, 3
_HASHES = {_SHA1: ("sha1", 20, 12), _MD5: ("md5", 16, 16), _SHA256: ("sha256", 32, 16)}


class Suite(NamedTuple):
    """One cipher suite: the wire numbers of its algorithms (table 22-20)."""

    number: int
    authentication: int
    integrity: int
    confidentiality: int

    @property
    def hash(self) -> str:
        """What RAKP and the keys are made with."""
        return _HASHES[self.authentication][0]

    @property
    def digest_length(self) -> int:
        """Bytes of that hash."""
        return _HASHES[self.authentication][1]

    @property
    def proof_length(self) -> int:
        """Bytes that RAKP 4 carries of it."""
        return _HASHES[self.authentication][2]

    @property
    def check_length(self) -> int:
        """Bytes at the end of each message that vouch for it; 0: none."""
        return {_NOTHING: 0, _SHA1_96: 12}.get(self.integrity, 16)

    @property
    def flags(self) -> int:
        """What a packet's payload type, and Activate Payload, say of its messages."""
        return _ENCRYPTED * bool(self.confidentiality) | _CHECKED * bool(self.integrity)


SUITE_3 = Suite(3, _SHA1, _SHA1_96, 1)
SUITE_17 = Suite(17, _SHA256, 4, 1)
PREFERRED = (SUITE_17, SUITE_3)
NAMED = (
    *(Suite(1, _SHA1, _NOTHING, 0), Suite(2, _SHA1, _SHA1_96, 0)),
    *(Suite(6, _MD5, _NOTHING, 0), Suite(7, _MD5, 2, 0), Suite(8, _MD5, 2, 1)),
    *(Suite(11, _MD5, MD5_128, 0), Suite(12, _MD5, MD5_128, 1)),
    *(Suite(15, _SHA256, _NOTHING, 0), Suite(16, _SHA256, 4, 0)),
)
BY_NUMBER = {suite.number: suite for suite in (*PREFERRED, *NAMED)}
BY_ALGORITHMS = {suite[1:]: suite for suite in BY_NUMBER.values()}


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
    """Keys of an established session; ``integrity`` is what checks are made with."""

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


def derive(suite: Suite, user: bytes, kg: bytes | None, x: Exchange) -> Keys:
    """Session keys from the user's key, and the Kg key where the BMC has one."""
    sik = hmac.digest(kg or user, x.console_random + x.bmc_random + _who(x), suite.hash)
    k1 = hmac.digest(sik, b"\x01" * 20, suite.hash)
    k2 = hmac.digest(sik, b"\x02" * 20, suite.hash)
    return Keys(sik, user if suite.integrity == MD5_128 else k1, k2[:16])


def rakp4_check(suite: Suite, sik: bytes, x: Exchange) -> bytes:
    """The integrity check value of RAKP 4."""
    code = hmac.digest(sik, x.console_random + struct.pack("<I", x.bmc_id) + x.guid, suite.hash)
    return code[: suite.proof_length]


def checker(suite: Suite, key: bytes) -> Callable[[bytes], bytes]:
    """What makes the check of a message's bytes, of ``check_length``: key schedules are kept (13.28.4)."""
    if suite.integrity == MD5_128:
        return lambda data: hashlib.md5(key + data + key, usedforsecurity=False).digest()
    return functools.partial(_cut_code, hmac.new(key, digestmod=suite.hash), suite.check_length)


def _cut_code(kept: hmac.HMAC, length: int, data: bytes) -> bytes:
    code = kept.copy()
    code.update(data)
    return code.digest()[:length]


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
