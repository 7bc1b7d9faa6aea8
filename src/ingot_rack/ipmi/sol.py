"""The commands that open, close and describe serial over LAN.

Why: an operator's console through the BMC (IPMI 2.0, sections 24 and 26).
May not: interpret the bytes. Invariant: one session at most holds the line of a BMC.
"""

from __future__ import annotations

import struct

from ingot_rack import errors
from ingot_rack.ipmi import commands, session
from ingot_rack.ipmi.commands import Call, Refusal
from ingot_rack.ipmi.line import CHUNK, Line

ALREADY_ACTIVE, DISABLED, NOT_ACTIVE = 0x80, 0x81, 0x80


def drop(device: commands.Device, owner: session.Opened | None = None) -> bool:
    """Close the BMC's line (only if `owner` holds it, when given); False when there was none."""
    line = device.line
    if line is None or (owner is not None and line.owner is not owner):
        return False
    device.line = None
    line.close()
    return True


async def activate(call: Call) -> bytes:
    """Activate Payload: type 1, instance 1; of a machine that is off, too."""
    if call.byte(0) & 0x3F != 1 or call.byte(1) & 0x0F != 1 or not isinstance(call.session, session.Session):
        raise Refusal(commands.INVALID_DATA)
    if call.device.line:
        raise Refusal(ALREADY_ACTIVE)
    try:
        console = await call.device.bmc.hardware.open_console()
    except errors.NotNow:
        console = None
    except (errors.RackError, OSError) as error:
        raise Refusal(DISABLED) from error
    if call.device.line:  # by another request, meanwhile
        if console is not None:
            console[1].close()
        raise Refusal(ALREADY_ACTIVE)
    call.device.line = Line(call.session, console, call.device.bmc.hardware.open_console)
    return struct.pack("<IHHHH", 0, CHUNK + 4, CHUNK + 4, call.device.port, 0xFFFF)


async def deactivate(call: Call) -> bytes:
    """Deactivate Payload, whoever holds it."""
    if call.byte(0) & 0x3F != 1:
        raise Refusal(commands.INVALID_DATA)
    if not drop(call.device):
        raise Refusal(NOT_ACTIVE)
    return b""


async def status(call: Call) -> bytes:
    """Get Payload Activation Status: one instance at most."""
    if call.byte(0) & 0x3F != 1:
        raise Refusal(commands.INVALID_DATA)
    return bytes([1, 1 if call.device.line else 0, 0])


async def parameter(call: Call) -> bytes:
    """Get SOL Configuration Parameters."""
    if call.byte(0) & 0x80:
        return b"\x11"
    values = {
        0: b"\x00",
        1: b"\x01",
        2: bytes([0x82]),
        3: b"\x0c\x60",
        4: b"\x07\x32",
        5: b"\x0a",
        6: b"\x0a",
        7: b"\x0e",
        8: struct.pack("<H", call.device.port),
    }
    value = values.get(call.byte(1))
    if value is None:
        raise Refusal(commands.PARAMETER_UNKNOWN)
    return b"\x11" + value
