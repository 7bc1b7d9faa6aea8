"""What an IPMI command is given and may answer, and the commands about the BMC itself, its channels and users.

Why: one function per command and one row in `table.py`; chassis, sensors, logs and consoles have files of their own.
May not: touch sockets or sessions' keys. Invariant: every command ends in a completion code, never in silence.
Numbers from the IPMI 2.0 specification: appendix G (commands), sections 20 to 22 (device, session).
"""

from __future__ import annotations

import dataclasses
import struct
import time
from collections.abc import Awaitable, Callable

from ingot_rack import bmc as bmcs
from ingot_rack.ipmi import eventlog, suites
from ingot_rack.ipmi import line as lines
from ingot_rack.ipmi import session as sessions

OK, BUSY, INVALID_COMMAND = 0x00, 0xC0, 0xC1
SHORT, OUT_OF_RANGE, NOT_PRESENT, INVALID_DATA, NO_ANSWER = 0xC7, 0xC9, 0xCB, 0xCC, 0xCE
NOT_ALLOWED, NOT_NOW, FAILED = 0xD4, 0xD5, 0xFF
PARAMETER_UNKNOWN = 0x80
RESET_SECONDS = 2.0  # of silence


class Refusal(Exception):
    """A completion code other than 0."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"completion code {code:#04x}")


@dataclasses.dataclass(slots=True)
class Device:
    """What one IPMI BMC remembers between commands."""

    bmc: bmcs.Bmc
    guid: bytes
    sessions: sessions.Sessions
    restore_policy: int = 0
    set_in_progress: int = 0
    keep_flags: int = 0
    boot_info_ack: bytes = b"\x00\x00"
    last_control: int = 0
    unresponsive_until: float = 0.0
    port: int = 623
    line: lines.Line | None = None
    sdr_reservation: int = 0
    log: eventlog.Log = dataclasses.field(default_factory=eventlog.Log)
    identify_until: float = 0.0
    behind: dict[bmcs.Bmc, Device] = dataclasses.field(default_factory=dict[bmcs.Bmc, "Device"])


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One command: the device, the caller's session (None outside one) and the data bytes."""

    device: Device
    session: sessions.Opened | None
    data: bytes

    def byte(self, index: int) -> int:
        """The data byte at `index`; refuses the command when it is missing."""
        if index >= len(self.data):
            raise Refusal(SHORT)
        return self.data[index]


Command = Callable[[Call], Awaitable[bytes]]


async def device_id(call: Call) -> bytes:
    """Get Device ID: a chassis, FRU, SEL and SDR device speaking the newest IPMI it has."""
    maker = call.device.bmc.maker.to_bytes(3, "little")
    version = 0x02 if "2.0" in call.device.bmc.versions else 0x51  # digits swapped
    return struct.pack("<BBBBBB", 0x20, 0x01, 0x01, 0x00, version, 0x8E) + maker + struct.pack("<H", 1) + bytes(4)


async def self_test(call: Call) -> bytes:
    """Get Self Test Results: no error."""
    del call
    return b"\x55\x00"


async def device_guid(call: Call) -> bytes:
    """Get Device GUID and Get System GUID: the same 16 bytes as in RAKP 2."""
    return call.device.guid


async def cold_reset(call: Call) -> bytes:
    """Cold Reset: sessions are lost and the BMC is silent for a while."""
    return _restart(call, 2)


async def warm_reset(call: Call) -> bytes:
    """Warm Reset: the same here."""
    return _restart(call, 3)


def _restart(call: Call, kind: int) -> bytes:
    call.device.bmc.resets.append(kind)
    call.device.unresponsive_until = time.monotonic() + RESET_SECONDS
    call.device.sessions.clear()
    return b""


async def channel_authentication(call: Call) -> bytes:
    """Get Channel Authentication Capabilities: versions, kinds of code of 1.5, a named user needed."""
    channel, wants_extended = call.byte(0) & 0x0F, call.byte(0) & 0x80
    if channel not in {0x0E, 0x01}:
        raise Refusal(INVALID_DATA)
    call.byte(1)
    bmc = call.device.bmc
    older, newer = ("1.5" in bmc.versions), ("2.0" in bmc.versions)
    codes = sum(1 << one for one in bmc.codes) if older else 0
    status = 0x04 | 0x20 * bool(bmc.kg) | 0x10 * (older and not bmc.vouched)
    extended = bool(wants_extended and newer)
    return bytes([1, 0x80 * extended | codes, status, (0x02 | older) * extended]) + bytes(4)


async def channel_cipher_suites(call: Call) -> bytes:
    """Get Channel Cipher Suites: up to 16 bytes of records by list index."""
    if call.byte(0) & 0x0F not in {0x0E, 0x01}:
        raise Refusal(INVALID_DATA)
    start = (call.byte(2) & 0x3F) * 16
    return b"\x01" + suites.records(call.device.bmc.suites)[start : start + 16]


async def channel_info(call: Call) -> bytes:
    """Get Channel Info: one LAN channel with sessions."""
    if call.byte(0) & 0x0F not in {0x0E, 0x01}:
        raise Refusal(INVALID_DATA)
    active = min(len(call.device.sessions), 63)
    return bytes([0x01, 0x04, 0x01, 0x80 | active, 0xF2, 0x1B, 0x00, 0x00, 0x00])


async def set_privilege(call: Call) -> bytes:
    """Set Session Privilege Level, up to what RAKP 1 asked for."""
    wanted = call.byte(0) & 0x0F
    if call.session is None:
        raise Refusal(NOT_ALLOWED)
    if wanted > (call.session.role & 0x0F):
        raise Refusal(0x81)
    if wanted:
        call.session.privilege = wanted
    return bytes([call.session.privilege])


async def close_session(call: Call) -> bytes:
    """Close Session by its number."""
    if len(call.data) < 4:
        raise Refusal(SHORT)
    if not call.device.sessions.close(struct.unpack_from("<I", call.data)[0]):
        raise Refusal(0x87)
    return b""


async def user_name(call: Call) -> bytes:
    """Get User Name: only user 2 has one."""
    if call.byte(0) & 0x3F != 2:
        raise Refusal(INVALID_DATA)
    return call.device.bmc.user.encode()[:16].ljust(16, b"\0")


async def user_access(call: Call) -> bytes:
    """Get User Access: user 2 is an administrator, the others are not enabled."""
    user = call.byte(1) & 0x3F
    return bytes([10, 1, 0, 0x34 if user == 2 else 0x0F])
