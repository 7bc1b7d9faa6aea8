"""What the BMC does for each IPMI command.

Why: one table from (network function, command) to a function; a new command is one function and one row.
May not: touch sockets or sessions' keys. Invariant: every command ends in a completion code, never in silence.
Numbers from the IPMI 2.0 specification: appendix G (commands), section 28 (chassis), 20 to 22 (device, session).
"""

from __future__ import annotations

import dataclasses
import math
import struct
import time
from collections.abc import Awaitable, Callable

from ingot_rack import bmc as bmcs
from ingot_rack import errors
from ingot_rack.hardware import BootDevice, BootMode, BootOverride, PowerAction, PowerState
from ingot_rack.ipmi import eventlog, suites
from ingot_rack.ipmi import line as lines
from ingot_rack.ipmi import session as sessions

OK, BUSY, INVALID_COMMAND, TIMEOUT = 0x00, 0xC0, 0xC1, 0xC3
SHORT, OUT_OF_RANGE, NOT_PRESENT, INVALID_DATA = 0xC7, 0xC9, 0xCB, 0xCC
NOT_ALLOWED, NOT_NOW, FAILED = 0xD4, 0xD5, 0xFF
PARAMETER_UNKNOWN = 0x80
LAMP_OFF, LAMP_TIMED, LAMP_FORCED = 0x00, 0x10, 0x20

CONTROLS = {
    0: PowerAction.OFF,
    1: PowerAction.ON,
    2: PowerAction.CYCLE,
    3: PowerAction.RESET,
    4: PowerAction.NMI,
    5: PowerAction.SOFT_OFF,
}
DEVICES = {
    0x0: BootDevice.NONE,
    0x1: BootDevice.NETWORK,
    0x2: BootDevice.DISK,
    0x3: BootDevice.DISK,
    0x5: BootDevice.CD,
    0x6: BootDevice.SETUP,
    0x8: BootDevice.CD,
    0x9: BootDevice.DISK,
}
DEVICE_CODES = {
    BootDevice.NONE: 0x0,
    BootDevice.NETWORK: 0x1,
    BootDevice.DISK: 0x2,
    BootDevice.CD: 0x5,
    BootDevice.SETUP: 0x6,
}
BOOT_FLAG_SECONDS = 60.0
SUPERMICRO, PLAIN_DISK = 10876, 0x08


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
    reset_seconds: float = 2.0
    sol_enabled: bool = True
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
    session: sessions.Session | None
    data: bytes

    def byte(self, index: int) -> int:
        """The data byte at `index`; refuses the command when it is missing."""
        if index >= len(self.data):
            raise Refusal(SHORT)
        return self.data[index]


Command = Callable[[Call], Awaitable[bytes]]


async def device_id(call: Call) -> bytes:
    """Get Device ID: a chassis, FRU, SEL and SDR device speaking IPMI 2.0."""
    maker = call.device.bmc.maker.to_bytes(3, "little")
    return struct.pack("<BBBBBB", 0x20, 0x01, 0x01, 0x00, 0x02, 0x8E) + maker + struct.pack("<H", 1) + bytes(4)


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
    call.device.unresponsive_until = time.monotonic() + call.device.reset_seconds
    call.device.sessions.clear()
    return b""


async def channel_authentication(call: Call) -> bytes:
    """Get Channel Authentication Capabilities: no 1.5 sessions, 2.0 offered, a named user needed."""
    channel, wants_extended = call.byte(0) & 0x0F, call.byte(0) & 0x80
    if channel not in {0x0E, 0x01}:
        raise Refusal(INVALID_DATA)
    call.byte(1)
    status = 0x04 | 0x20 * bool(call.device.bmc.kg)
    return bytes([1, 0x80, status, 0x02] if wants_extended else [1, 0x00, status, 0x00]) + bytes(4)


async def channel_cipher_suites(call: Call) -> bytes:
    """Get Channel Cipher Suites: up to 16 bytes of records by list index."""
    if call.byte(0) & 0x0F not in {0x0E, 0x01}:
        raise Refusal(INVALID_DATA)
    start = (call.byte(2) & 0x3F) * 16
    return b"\x01" + suites.records()[start : start + 16]


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


async def chassis_capabilities(call: Call) -> bytes:
    """Get Chassis Capabilities: everything sits at the BMC's own address."""
    del call
    return bytes([0x00, 0x20, 0x20, 0x20, 0x20])


async def chassis_status(call: Call) -> bytes:
    """Get Chassis Status with the power as this BMC tells it."""
    on = call.device.bmc.says_power() is PowerState.ON
    lamp = LAMP_OFF
    if call.device.identify_until > time.monotonic():
        lamp = LAMP_FORCED if call.device.identify_until == math.inf else LAMP_TIMED
    return bytes([on | call.device.restore_policy << 5, 0x10 if on else 0x00, 0x40 | lamp, 0x00])


async def chassis_control(call: Call) -> bytes:
    """Chassis Control: off, on, cycle, reset, diagnostic interrupt, soft off."""
    action = CONTROLS.get(call.byte(0) & 0x0F)
    if action is None:
        raise Refusal(INVALID_DATA)
    await _expire_boot_flags(call.device)
    before = call.device.bmc.hardware.power
    try:
        await call.device.bmc.power(action)
    except errors.NotNow as error:
        raise Refusal(NOT_NOW) from error
    except errors.RackError as error:
        raise Refusal(FAILED) from error
    if (after := call.device.bmc.hardware.power) is not before:
        call.device.log.note_power(on=after is PowerState.ON)
    call.device.last_control = call.byte(0) & 0x0F
    return b""


async def chassis_identify(call: Call) -> bytes:
    """Chassis Identify: the lamp is on for some seconds (15 unless told), for good, or off at 0 seconds."""
    seconds = call.data[0] if call.data else 15
    forced = len(call.data) > 1 and call.data[1] & 1
    call.device.identify_until = math.inf if forced else time.monotonic() + seconds
    return b""


async def restart_cause(call: Call) -> bytes:
    """Get System Restart Cause: chassis control, or unknown."""
    return bytes([0x01 if call.device.last_control in {1, 2, 3} else 0x00, 0x01])


async def set_restore_policy(call: Call) -> bytes:
    """Set Power Restore Policy; answers which policies exist."""
    policy = call.byte(0) & 0x07
    if policy < 3:
        call.device.restore_policy = policy
    return b"\x07"


async def set_boot_options(call: Call) -> bytes:
    """Set System Boot Options: parameters 0, 3, 4 and 5."""
    parameter = call.byte(0) & 0x7F
    device = call.device
    if len(call.data) == 1:
        return b""  # only the parameter valid bit is changed, and ours are always valid
    match parameter:
        case 0:
            if call.byte(1) & 3 == 1 and device.set_in_progress == 1:
                raise Refusal(0x81)
            device.set_in_progress = call.byte(1) & 1
        case 3:
            device.keep_flags = call.byte(1) & 0x1F
        case 4:
            call.byte(2)
            device.boot_info_ack = call.data[1:3]
        case 5:
            call.byte(5)
            override = _override(call.data[1:6])
            if device.bmc.maker == SUPERMICRO and override.mode is BootMode.UEFI and call.data[2] == PLAIN_DISK:
                override = BootOverride()  # theirs boots a UEFI disk by the selector of a remote one only
            await device.bmc.set_boot(override)
        case _:
            raise Refusal(PARAMETER_UNKNOWN)
    return b""


async def get_boot_options(call: Call) -> bytes:
    """Get System Boot Options: parameters 0, 3, 4, 5 and 6."""
    parameter = call.byte(0) & 0x7F
    call.byte(2)
    device = call.device
    match parameter:
        case 0:
            data = bytes([device.set_in_progress])
        case 3:
            data = bytes([device.keep_flags])
        case 4:
            data = device.boot_info_ack
        case 5:
            await _expire_boot_flags(device)
            data = _flags(device.bmc.boot)
        case 6:
            data = bytes(9)
        case _:
            raise Refusal(PARAMETER_UNKNOWN)
    return bytes([0x01, parameter]) + data


def _override(flags: bytes) -> BootOverride:
    """Boot flags (5 bytes) as an override; a cleared valid bit clears it."""
    if not flags[0] & 0x80:
        return BootOverride()
    device = DEVICES.get(flags[1] >> 2 & 0x0F)
    if device is None:
        raise Refusal(INVALID_DATA)
    mode = BootMode.UEFI if flags[0] & 0x20 else BootMode.BIOS
    return BootOverride(device, persistent=bool(flags[0] & 0x40), mode=mode)


def _flags(boot: BootOverride) -> bytes:
    if boot == BootOverride():
        return bytes(5)
    first = 0x80 | 0x40 * boot.persistent | 0x20 * (boot.mode is BootMode.UEFI)
    return bytes([first, DEVICE_CODES[boot.device] << 2, 0, 0, 0])


async def _expire_boot_flags(device: Device) -> None:
    """Once-only flags lapse 60 s after they were set unless parameter 3 bit 3 says not to (table 28-14)."""
    bmc = device.bmc
    lapsed = bmc.boot_set_at and time.monotonic() - bmc.boot_set_at > BOOT_FLAG_SECONDS
    if lapsed and not bmc.boot.persistent and not device.keep_flags & 0x08:
        await bmc.set_boot(BootOverride())
        bmc.boot_set_at = 0.0
