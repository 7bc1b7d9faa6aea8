"""Sessions of IPMI 1.5: a challenge, its answer, and messages in clear with a code that vouches for them.

Why: BMCs older than RMCP+ have nothing else (IPMI 2.0, sections 6.12, 13.6, 22.16 and 22.17).
May not: know sockets. Invariant: a session is active only after a proof of the password.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import struct

from ingot_rack.ipmi import commands, session, suites, wire
from ingot_rack.ipmi.commands import Call, Refusal

NONE, MD5, PASSWORD = 0, 2, 4
WINDOW = 8  # how far ahead or behind a number may be
ACTIVATE = (0x06, 0x3A)
UNKNOWN_NAME, NO_NULL_NAME = 0x81, 0x82
TABLE_FULL, WRONG_ID, WRONG_CHALLENGE, TOO_HIGH = 0x81, 0x85, 0x85, 0x86


@dataclasses.dataclass(slots=True, kw_only=True)
class ClearSession(session.Opened):
    """One console's session with one BMC; `auth` is the kind of code, `key` what it is made with."""

    auth: int
    key: bytes

    def fresh(self, sequence: int) -> bool:
        """Whether the number was not seen and is inside the window; one too far ahead is lost for good."""
        return sequence - self.sequence_in <= WINDOW and super(ClearSession, self).fresh(sequence)

    def seal(self, message: bytes) -> bytes:
        """A packet with its number and code."""
        packet = wire.Clear(self.auth, self.sequence_out, self.bmc_id, b"", message)
        self.sequence_out = self.sequence_out % 0xFFFFFFFF + 1
        return wire.build_v15(dataclasses.replace(packet, code=code(packet, self.auth, self.key)))

    def check(self, packet: wire.Clear) -> None:
        """Raises Malformed for a packet with a wrong code."""
        if packet.auth != self.auth or not suites.same(packet.code, code(packet, self.auth, self.key)):
            raise wire.Malformed("wrong authentication code")


def code(packet: wire.Clear, auth: int, key: bytes) -> bytes:
    """The code of a packet."""
    if auth == NONE:
        return b""
    if auth == PASSWORD:
        return key
    number, sequence = struct.pack("<I", packet.session_id), struct.pack("<I", packet.sequence)
    return hashlib.md5(key + number + packet.message + sequence + key, usedforsecurity=False).digest()


async def challenge(call: Call) -> bytes:
    """Get Session Challenge: a number for the session to be, and what its proof is made of."""
    bmc, name = call.device.bmc, call.data[1:17].rstrip(b"\0")
    if call.byte(0) not in bmc.codes or "1.5" not in bmc.versions:
        raise Refusal(commands.INVALID_DATA)
    if name != bmc.user.encode() or bmc.locked_out:
        raise Refusal(UNKNOWN_NAME if name else NO_NULL_NAME)
    if call.device.sessions.full and not bmc.faults.sessions_full:
        raise Refusal(commands.BUSY)
    key = bmc.password.encode()[:16].ljust(16, b"\0")
    opened = ClearSession(bmc_id=suites.random_id(), auth=call.byte(0), key=key, name=name)
    opened.bmc_random = os.urandom(16)
    call.device.sessions.add(opened)
    return struct.pack("<I", opened.bmc_id) + opened.bmc_random


def prove(device: commands.Device, opened: ClearSession, packet: wire.Clear) -> None:
    """Look at the packet of an Activate Session; a wrong password ends the attempt without an answer."""
    try:
        opened.check(packet)
    except wire.Malformed:
        device.bmc.note_login(good=False)
        device.sessions.close(opened.bmc_id)
        raise
    device.bmc.note_login(good=True)


async def activate(call: Call) -> bytes:
    """Activate Session, whose packet was proved before: both sides' first numbers, and the privilege granted."""
    opened, bmc = call.session, call.device.bmc
    if not isinstance(opened, ClearSession):
        raise Refusal(WRONG_ID)
    if len(call.data) < 22 or call.byte(0) != opened.auth:
        raise Refusal(commands.INVALID_DATA)
    if call.data[2:18] != opened.bmc_random:
        raise Refusal(WRONG_CHALLENGE)
    opened.role = call.byte(1) & 0x0F
    if bmc.faults.sessions_full:
        call.device.sessions.close(opened.bmc_id)
        raise Refusal(TABLE_FULL)
    if not 0 < opened.role <= bmc.privilege:
        call.device.sessions.close(opened.bmc_id)
        raise Refusal(TOO_HIGH)
    opened.sequence_out = struct.unpack_from("<I", call.data, 18)[0]
    first = suites.random_id() & 0x7FFFFFFF
    opened.sequence_in = first - 1
    opened.active = True
    return struct.pack("<BIIB", opened.auth if bmc.vouched else NONE, opened.bmc_id, first, opened.role)
