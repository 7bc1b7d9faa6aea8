"""Sessions: the table of all, and those of RMCP+: how one is opened, what it protects, when it ends.

Why: the RAKP handshake and the sealed packets of a session (IPMI 2.0, sections 13.17 to 13.29).
May not: know commands or sockets. Invariant: a session is active only after a right RAKP 3.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import time
from collections.abc import Callable

from ingot_rack import bmc as bmcs
from ingot_rack.ipmi import suites, wire
from ingot_rack.ipmi.suites import Suite

LIMIT = 16
HALF_OPEN_SECONDS, SILENT_SECONDS = 10.0, 1.0
PRIVILEGE_USER, PRIVILEGE_OPERATOR, PRIVILEGE_ADMINISTRATOR = 2, 3, 4

NO_RESOURCES, INVALID_SESSION, UNAUTHORIZED_ROLE = 0x01, 0x02, 0x0A
UNAUTHORIZED_NAME, NO_SUITE_MATCH, INVALID_INTEGRITY, ILLEGAL_PARAMETER = 0x0D, 0x11, 0x0F, 0x12


@dataclasses.dataclass(slots=True, kw_only=True)
class Opened:
    """What sessions of both versions have: who, how much they may, and which packets were seen."""

    bmc_id: int
    role: int = 0
    name: bytes = b""
    bmc_random: bytes = b""
    active: bool = False
    given_up: bool = False
    privilege: int = PRIVILEGE_USER
    sequence_out: int = 0
    sequence_in: int = 0
    seen: int = 0
    used_at: float = 0.0
    last_control: tuple[bytes, bytes, float] = (b"", b"", 0.0)

    def fresh(self, sequence: int) -> bool:
        """Whether this session sequence number was not seen and is inside the window of 32."""
        ahead = sequence - self.sequence_in
        if ahead > 0:
            self.seen = (self.seen << min(ahead, 32) | 1) & 0xFFFFFFFF
            self.sequence_in = sequence
            return True
        bit = 1 << -ahead
        if -ahead >= 32 or self.seen & bit:
            return False
        self.seen |= bit
        return True


@dataclasses.dataclass(slots=True, kw_only=True)
class Session(Opened):
    """One console's session with one BMC, by RMCP+."""

    suite: Suite
    console_id: int
    password: bytes = b""
    console_random: bytes = b""
    k1: bytes = b""
    k2: bytes = b""

    @property
    def _flags(self) -> int:
        suite = self.suite
        return wire.ENCRYPTED * bool(suite.confidentiality) | wire.AUTHENTICATED * bool(suite.integrity)

    def seal(self, payload_type: int, payload: bytes) -> bytes:
        """A sealed packet: numbered, and encrypted and with its integrity trailer where the suite has them."""
        self.sequence_out += 1
        sealed = suites.encrypt(self.k2[:16], payload) if self.suite.confidentiality else payload
        packet = wire.build_v20(payload_type | self._flags, self.console_id, self.sequence_out, sealed)
        if not self.suite.integrity:
            return packet
        pad = -(len(packet) - 4 + 2) % 4
        packet += b"\xff" * pad + bytes([pad, 0x07])
        return packet + self.suite.code(self.k1, self.password, packet[4:])

    def unseal(self, datagram: bytes, packet: wire.Packet) -> bytes:
        """Check and decrypt a packet; raises Malformed when anything is not as it must be."""
        if packet.flags != self._flags:
            raise wire.Malformed("the session demands the integrity and confidentiality of its suite")
        if self.suite.integrity:
            self._check(datagram, packet)
        if not self.fresh(packet.sequence):
            raise wire.Malformed("repeated packet")
        if not self.suite.confidentiality:
            return packet.payload
        try:
            return suites.decrypt(self.k2[:16], packet.payload)
        except suites.BadPadding as error:
            raise wire.Malformed(str(error)) from error

    def _check(self, datagram: bytes, packet: wire.Packet) -> None:
        length = self.suite.code_length
        code, signed = datagram[-length:], datagram[4:-length]
        if len(signed) < packet.header_end - 4 or not suites.same(
            code, self.suite.code(self.k1, self.password, signed)
        ):
            raise wire.Malformed("wrong integrity code")


class Sessions:
    """The session table of one BMC; opening beyond `LIMIT` is refused."""

    __slots__ = ("_bmc", "_guid", "_table", "on_close")

    def __init__(self, bmc: bmcs.Bmc, guid: bytes) -> None:
        self._bmc = bmc
        self._guid = guid
        self._table: dict[int, Opened] = {}
        self.on_close: Callable[[Opened], None] | None = None

    def __len__(self) -> int:
        return len(self._table)

    @property
    def in_use(self) -> int:
        """How many sessions are active and have not idled away."""
        now = time.monotonic()
        return sum(one.active and now - one.used_at <= self._bmc.faults.session_seconds for one in self._table.values())

    def find(self, bmc_id: int) -> Opened | None:
        """The session with this number, unless it has idled away."""
        session = self._table.get(bmc_id)
        if session and time.monotonic() - session.used_at > self._bmc.faults.session_seconds:
            self.close(bmc_id)
            return None
        return session

    def find_sealed(self, bmc_id: int) -> Session | None:
        """The same of a session by RMCP+."""
        session = self.find(bmc_id)
        return session if isinstance(session, Session) else None

    @property
    def full(self) -> bool:
        """Whether there is no room for one more."""
        self._expire()
        return self._bmc.faults.sessions_full or len(self._table) >= LIMIT

    def add(self, session: Opened) -> None:
        """Take a session in."""
        session.used_at = time.monotonic()
        self._table[session.bmc_id] = session

    def close(self, bmc_id: int) -> bool:
        """End a session; False when there was none."""
        session = self._table.pop(bmc_id, None)
        if session and self.on_close:
            self.on_close(session)
        return session is not None

    def clear(self) -> None:
        """End all sessions, as a BMC reset does."""
        for bmc_id in tuple(self._table):
            self.close(bmc_id)

    def answer(self, packet: wire.Packet) -> bytes | None:
        """The answer to a handshake packet; None when it deserves none."""
        match packet.payload_type:
            case wire.PAYLOAD_OPEN_REQUEST:
                kind, payload = wire.PAYLOAD_OPEN_RESPONSE, self._open(packet.payload)
            case wire.PAYLOAD_RAKP1:
                kind, payload = wire.PAYLOAD_RAKP2, self._rakp1(packet.payload)
            case wire.PAYLOAD_RAKP3:
                kind, payload = wire.PAYLOAD_RAKP4, self._rakp3(packet.payload)
            case _:
                return None
        return wire.build_v20(kind, 0, 0, payload) if payload else None

    def _open(self, data: bytes) -> bytes | None:
        if len(data) < 32:
            return None
        tag, privilege = data[0], data[1] & 0x0F
        console_id = struct.unpack_from("<I", data, 4)[0]
        suite = suites.find(self._bmc.suites, data[12] & 0x3F, data[20] & 0x3F, data[28] & 0x3F)
        if suite is None:
            return struct.pack("<BBBBI", tag, NO_SUITE_MATCH, 0, 0, console_id)
        if self.full:
            return struct.pack("<BBBBI", tag, NO_RESOURCES, 0, 0, console_id)
        session = Session(suite=suite, console_id=console_id, bmc_id=suites.random_id(), password=self._key)
        self.add(session)
        granted = privilege or PRIVILEGE_ADMINISTRATOR
        head = struct.pack("<BBBBII", tag, 0, granted, 0, console_id, session.bmc_id)
        chosen = (suite.authentication, suite.integrity, suite.confidentiality)
        return head + b"".join(bytes([kind, 0, 0, 8, algorithm, 0, 0, 0]) for kind, algorithm in enumerate(chosen))

    def _rakp1(self, data: bytes) -> bytes | None:
        if len(data) < 28 or len(data) < 28 + data[27]:
            return None
        tag = data[0]
        session = self.find_sealed(struct.unpack_from("<I", data, 4)[0])
        if session is None or session.active:
            return struct.pack("<BBBBI", tag, INVALID_SESSION, 0, 0, 0)
        session.console_random, session.role = data[8:24], data[24]
        session.name = data[28 : 28 + data[27]]
        if session.name != self._bmc.user.encode() or self._bmc.locked_out:
            self.close(session.bmc_id)
            return struct.pack("<BBBBI", tag, UNAUTHORIZED_NAME, 0, 0, session.console_id)
        if not 0 < session.role & 0x0F <= self._bmc.privilege:
            self.close(session.bmc_id)
            return struct.pack("<BBBBI", tag, UNAUTHORIZED_ROLE, 0, 0, session.console_id)
        if not session.bmc_random:  # a repeated RAKP 1 gets the same RAKP 2
            session.bmc_random = os.urandom(16)
        head = struct.pack("<BBBBI", tag, 0, 0, 0, session.console_id)
        return head + session.bmc_random + self._guid + self._key_exchange(session)

    def _key_exchange(self, session: Session) -> bytes:
        ids = struct.pack("<II", session.console_id, session.bmc_id)
        randoms = session.console_random + session.bmc_random
        return session.suite.mac(self._key, ids + randoms + self._guid + _who(session))

    def _rakp3(self, data: bytes) -> bytes | None:
        if len(data) < 8:
            return None
        tag, status = data[0], data[1]
        session = self.find_sealed(struct.unpack_from("<I", data, 4)[0])
        if session is None or not session.bmc_random:
            return struct.pack("<BBBBI", tag, INVALID_SESSION, 0, 0, 0)
        if status:
            self._bmc.note_login(good=False)
            self.close(session.bmc_id)
            return None
        ids = struct.pack("<I", session.console_id)
        expected = session.suite.mac(self._key, session.bmc_random + ids + _who(session))
        good = suites.same(data[8:], expected)
        self._bmc.note_login(good=good)
        if not good:
            self.close(session.bmc_id)
            return struct.pack("<BBBBI", tag, INVALID_INTEGRITY, 0, 0, session.console_id)
        return struct.pack("<BBBBI", tag, 0, 0, 0, session.console_id) + self._activate(session)

    def _activate(self, session: Session) -> bytes:
        """Derive the keys, switch the session on and give RAKP 4's integrity code."""
        suite = session.suite
        randoms = session.console_random + session.bmc_random
        sik = suite.mac(self._bmc.kg or self._key, randoms + _who(session))
        session.k1, session.k2 = suite.derived(sik, 1), suite.derived(sik, 2)
        session.active = True
        managed = struct.pack("<I", session.bmc_id)
        return suite.proof(sik, session.console_random + managed + self._guid)

    @property
    def _key(self) -> bytes:
        return self._bmc.password.encode()[:20].ljust(20, b"\0")

    def _expire(self) -> None:
        now = time.monotonic()
        for bmc_id, session in tuple(self._table.items()):
            age = now - session.used_at
            sealed = isinstance(session, Session)  # by IPMI 1.5 a wrong password is seen when it comes
            if sealed and session.bmc_random and not session.active and not session.given_up and age > SILENT_SECONDS:
                # a console that finds RAKP 2 wrong (a wrong password) may simply fall silent: ipmitool 1.8.19 does
                session.given_up = True
                self._bmc.note_login(good=False)
            if age > (self._bmc.faults.session_seconds if session.active else HALF_OPEN_SECONDS):
                self.close(bmc_id)


def _who(session: Session) -> bytes:
    return bytes([session.role, len(session.name)]) + session.name
