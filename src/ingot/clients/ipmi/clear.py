"""The session of IPMI 1.5: messages in clear, each with a code that vouches for it where the BMC has one.

Why: BMCs older than 2.0 (2004) have nothing better. May not: log in or know the pool.
Invariant: with MD5 what is taken is genuine; with a straight password or none it only looks so.
Source: IPMI 2.0 sections 13.6 (header) and 22.17.1 (codes).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from enum import IntEnum
from typing import NamedTuple

from ingot.clients.ipmi import codec
from ingot.clients.ipmi.session import Session
from ingot.clients.ipmi.transport import Peer, Transport
from ingot.domain import errors

CODE_LENGTH = 16
LAST_SEQUENCE = 0xFFFFFFFF
LONGEST = 0xFF  # bytes: the length is one
WINDOW = 32
"""How far a BMC's number may be beyond the last one: answers get lost, and a session that stays silent is given up."""
_HEADER = struct.Struct("<4sBII")
_NUMBERS = struct.Struct("<I")


class Auth(IntEnum):
    """How a message is vouched for; each is the bit of that number in what a BMC offers."""

    NONE = 0
    MD5 = 2
    PASSWORD = 4


BEST_FIRST = (Auth.MD5, Auth.PASSWORD, Auth.NONE)


class Packet(NamedTuple):
    """A packet of IPMI 1.5; ``code`` is empty where it has none."""

    auth: int
    sequence: int
    session_id: int
    code: bytes
    message: bytes


class Terms(NamedTuple):
    """What a session was opened with: its id, how messages are vouched for and by what, both sides' first numbers.

    ``sequence``: of our first message; ``first``: what the BMC was asked to begin with.
    """

    session_id: int
    auth: Auth
    key: bytes
    sequence: int
    first: int


class ClearSession(Session):
    """A session with one BMC, whose messages everybody on the way can read."""

    __slots__ = ("_terms",)

    def __init__(self, transport: Transport, peer: Peer, terms: Terms) -> None:
        super().__init__(transport, peer, (peer, terms.session_id), terms.session_id)
        self._terms = terms
        if terms.auth is Auth.MD5:
            self._peer_sequence = terms.first - 1

    def seal(self, message: bytes) -> bytes:
        """The message with its number and code. Raises ``errors.Invalid`` for one that its length has no room for."""
        if len(message) > LONGEST:
            raise errors.Invalid(f"IPMI 1.5 carries messages of {LONGEST} bytes at most, and this has {len(message)}.")
        terms = self._terms
        number = terms.sequence or 1  # 0 is for packets outside a session
        self._terms = terms._replace(sequence=number + 1 if number < LAST_SEQUENCE else 1)
        return build(terms.auth, terms.key, terms.session_id, number, message)

    def unseal(self, packet: bytes) -> bytes | None:
        """The message of a packet whose code and checksums are right."""
        found = parse(packet)
        if found is None or not genuine(found, self._terms.auth, self._terms.key):
            return None
        return found.message if codec.response(found.message) is not None else None

    def sequence(self, packet: bytes) -> int:
        """Where IPMI 1.5 has it."""
        number: int = _NUMBERS.unpack_from(packet, 5)[0]
        return number

    def _fresh(self, sequence: int) -> bool:
        """Whether this answer is of this session and no replay.

        A session of before may have had the same id, and had the same key: with MD5 only what goes on from the number
        that the BMC was asked to begin with is ours (as OpenIPMI's client wants it). Where codes can be made by anybody
        nothing is gained by it, and BMCs that do not count are let pass.
        """
        if self._terms.auth is not Auth.MD5:
            return super()._fresh(sequence)
        if not 0 < sequence - self._peer_sequence <= WINDOW:
            return False
        self._peer_sequence = sequence
        return True


def key_of(password: str) -> bytes:
    """The password as the 16 bytes that codes are made with."""
    return password.encode().ljust(CODE_LENGTH, b"\0")


def build(auth: Auth, key: bytes, session_id: int, sequence: int, message: bytes) -> bytes:
    """A packet of a session."""
    head = _HEADER.pack(codec.RMCP, auth, sequence, session_id)
    code = code_of(auth, key, session_id, sequence, message)
    return head + code + bytes((len(message),)) + message


def parse(packet: bytes) -> Packet | None:
    """A packet of IPMI 1.5, its code not looked at; None for anything else."""
    if len(packet) < codec.V15_HEADER or packet[4] == codec.AUTH_RMCPP:
        return None
    rmcp, auth, sequence, session_id = _HEADER.unpack_from(packet)
    start = _HEADER.size + (CODE_LENGTH if auth else 0)
    if rmcp != codec.RMCP or len(packet) <= start or len(packet) <= start + packet[start]:
        return None
    message = packet[start + 1 : start + 1 + packet[start]]
    return Packet(auth, sequence, session_id, packet[_HEADER.size : start], message)


def genuine(packet: Packet, auth: Auth, key: bytes) -> bool:
    """Whether a packet has the code that was agreed on. Where none was, BMCs may send one all the same."""
    if auth == Auth.NONE:
        return True
    wanted = code_of(auth, key, packet.session_id, packet.sequence, packet.message)
    return packet.auth == auth and hmac.compare_digest(wanted, packet.code)


def code_of(auth: Auth, key: bytes, session_id: int, sequence: int, message: bytes) -> bytes:
    """What vouches for a message: 16 bytes, or nothing."""
    if auth == Auth.NONE:
        return b""
    if auth == Auth.PASSWORD:
        return key
    numbers = _NUMBERS.pack(session_id), _NUMBERS.pack(sequence)
    # The protocol's own hash: weak, and there is no other. The flag lets it be used on hosts that forbid it elsewhere.
    return hashlib.md5(key + numbers[0] + message + numbers[1] + key, usedforsecurity=False).digest()
