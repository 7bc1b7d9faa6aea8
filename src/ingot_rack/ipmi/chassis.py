"""The chassis commands: power, boot device, lamp and what a server does when its mains come back.

Why: they are the commands that reach through the BMC to the machine.
May not: know sessions. Invariant: a boot flag that may not be kept lapses before anyone can act on it.
Numbers from the IPMI 2.0 specification, section 28.
"""

from __future__ import annotations

import math
import time

from ingot_rack import errors
from ingot_rack.hardware import BootDevice, BootMode, BootOverride, PowerAction, PowerState
from ingot_rack.ipmi import commands
from ingot_rack.ipmi.commands import Refusal

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


async def chassis_capabilities(call: commands.Call) -> bytes:
    """Get Chassis Capabilities: everything sits at the BMC's own address."""
    del call
    return bytes([0x00, 0x20, 0x20, 0x20, 0x20])


async def chassis_status(call: commands.Call) -> bytes:
    """Get Chassis Status with the power as this BMC tells it."""
    on = call.device.bmc.says_power() is PowerState.ON
    lamp = LAMP_OFF
    if call.device.identify_until > time.monotonic():
        lamp = LAMP_FORCED if call.device.identify_until == math.inf else LAMP_TIMED
    return bytes([on | call.device.restore_policy << 5, 0x10 if on else 0x00, 0x40 | lamp, 0x00])


async def chassis_control(call: commands.Call) -> bytes:
    """Chassis Control: off, on, cycle, reset, diagnostic interrupt, soft off."""
    action = CONTROLS.get(call.byte(0) & 0x0F)
    if action is None:
        raise Refusal(commands.INVALID_DATA)
    await _expire_boot_flags(call.device)
    before = call.device.bmc.hardware.power
    try:
        await call.device.bmc.power(action)
    except errors.NotNow as error:
        raise Refusal(commands.NOT_NOW) from error
    except errors.RackError as error:
        raise Refusal(commands.FAILED) from error
    if (after := call.device.bmc.hardware.power) is not before:
        call.device.log.note_power(on=after is PowerState.ON)
    call.device.last_control = call.byte(0) & 0x0F
    return b""


async def chassis_identify(call: commands.Call) -> bytes:
    """Chassis Identify: the lamp is on for some seconds (15 unless told), for good, or off at 0 seconds."""
    seconds = call.data[0] if call.data else 15
    forced = len(call.data) > 1 and call.data[1] & 1
    call.device.identify_until = math.inf if forced else time.monotonic() + seconds
    return b""


async def restart_cause(call: commands.Call) -> bytes:
    """Get System Restart Cause: chassis control, or unknown."""
    return bytes([0x01 if call.device.last_control in {1, 2, 3} else 0x00, 0x01])


async def set_restore_policy(call: commands.Call) -> bytes:
    """Set Power Restore Policy; answers which policies exist."""
    policy = call.byte(0) & 0x07
    if policy < 3:
        call.device.restore_policy = policy
    return b"\x07"


async def set_boot_options(call: commands.Call) -> bytes:
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
            raise Refusal(commands.PARAMETER_UNKNOWN)
    return b""


async def get_boot_options(call: commands.Call) -> bytes:
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
            raise Refusal(commands.PARAMETER_UNKNOWN)
    return bytes([0x01, parameter]) + data


def _override(flags: bytes) -> BootOverride:
    """Boot flags (5 bytes) as an override; a cleared valid bit clears it."""
    if not flags[0] & 0x80:
        return BootOverride()
    device = DEVICES.get(flags[1] >> 2 & 0x0F)
    if device is None:
        raise Refusal(commands.INVALID_DATA)
    mode = BootMode.UEFI if flags[0] & 0x20 else BootMode.BIOS
    return BootOverride(device, persistent=bool(flags[0] & 0x40), mode=mode)


def _flags(boot: BootOverride) -> bytes:
    if boot == BootOverride():
        return bytes(5)
    first = 0x80 | 0x40 * boot.persistent | 0x20 * (boot.mode is BootMode.UEFI)
    return bytes([first, DEVICE_CODES[boot.device] << 2, 0, 0, 0])


async def _expire_boot_flags(device: commands.Device) -> None:
    """Once-only flags lapse 60 s after they were set unless parameter 3 bit 3 says not to (table 28-14)."""
    bmc = device.bmc
    lapsed = bmc.boot_set_at and time.monotonic() - bmc.boot_set_at > BOOT_FLAG_SECONDS
    if lapsed and not bmc.boot.persistent and not device.keep_flags & 0x08:
        await bmc.set_boot(BootOverride())
        bmc.boot_set_at = 0.0
