"""Chassis commands: power, and what to boot from next.

Why: these few commands are all that a driver needs to bring a machine up.
May not: wait for the power state to follow. Invariant: one call is one IPMI command.
Source: IPMI 2.0 section 28.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Target
from ingot.domain import errors

NETFN = 0x00
GET_STATUS = 0x01
CONTROL = 0x02
IDENTIFY = 0x04
LAMP_KNOWN, LAMP_ON = 0x40, 0x30
SET_BOOT_OPTIONS = 0x08
GET_BOOT_OPTIONS = 0x09
FLAG_CLEARING = 3  # boot option parameter: when the BMC forgets boot flags by itself
BOOT_FLAGS = 5
NOT_ON_TIMEOUT = 0x08
VALID = 0x80
PERSISTENT = 0x40
UEFI = 0x20
DEVICE_MASK = 0x3C


class Control(IntEnum):
    """Chassis Control actions, section 28.3."""

    OFF = 0
    ON = 1
    CYCLE = 2
    RESET = 3
    DIAG = 4
    SOFT = 5


class BootDevice(StrEnum):
    """Boot device selectors by Ironic's names."""

    PXE = "pxe"
    DISK = "disk"
    SAFE = "safe"
    CDROM = "cdrom"
    BIOS = "bios"


SELECTORS = {
    BootDevice.PXE: 0x04,
    BootDevice.DISK: 0x08,
    BootDevice.SAFE: 0x0C,
    BootDevice.CDROM: 0x14,
    BootDevice.BIOS: 0x18,
}
# Supermicro wants remote disk 24 for a UEFI disk, iRMC wants remote CD 20; they mean the same to us.
DEVICES = {selector: device for device, selector in SELECTORS.items()} | {
    0x20: BootDevice.CDROM,
    0x24: BootDevice.DISK,
}


class BootFlags(msgspec.Struct, frozen=True):
    """The boot override a BMC holds.

    ``valid`` is what the BMC says of the whole; some never set it (ipmi_sim of OpenIPMI 2.0.33).
    ``device`` None means: no override, or a device without a name here.
    """

    valid: bool
    device: BootDevice | None
    persistent: bool
    uefi: bool


async def power_state(pool: IpmiPool, target: Target) -> bool:
    """Whether the machine is on. Raises what ``IpmiPool.command`` raises."""
    status = await pool.command(target, NETFN, GET_STATUS)
    if len(status) < 3:
        raise errors.Misbehaved(f"BMC {target.name} sent a chassis status of {len(status)} bytes instead of 3.")
    return bool(status[0] & 0x01)


async def lamp(pool: IpmiPool, target: Target) -> bool | None:
    """Whether the identify lamp is on; None where the BMC does not tell (the third byte came with IPMI 2.0)."""
    status = await pool.command(target, NETFN, GET_STATUS)
    return bool(status[2] & LAMP_ON) if len(status) > 2 and status[2] & LAMP_KNOWN else None


async def identify(pool: IpmiPool, target: Target, *, on: bool) -> None:
    """Switch the identify lamp on for good (where the BMC cannot: for 255 s) or off (section 28.5)."""
    if not on:
        await pool.command(target, NETFN, IDENTIFY, b"\0")
    elif (await pool.raw(target, NETFN, IDENTIFY, b"\0\x01"))[0]:
        await pool.command(target, NETFN, IDENTIFY, b"\xff")


async def control(pool: IpmiPool, target: Target, action: Control) -> None:
    """Ask for a power action; returns when the BMC has accepted it, not when it is done."""
    await pool.command(target, NETFN, CONTROL, bytes((action,)))


async def set_boot_device(
    pool: IpmiPool,
    target: Target,
    device: BootDevice | None,
    *,
    persistent: bool,
    uefi: bool,
    selector: int | None = None,
) -> None:
    """Set what to boot from next (or always), None for no override; ``selector`` replaces the standard byte."""
    flags = VALID | (PERSISTENT if persistent else 0) | (UEFI if uefi else 0)
    chosen = selector if selector is not None else SELECTORS[device] if device else 0
    await pool.command(target, NETFN, SET_BOOT_OPTIONS, bytes((BOOT_FLAGS, flags, chosen, 0, 0, 0)))


async def get_boot_device(pool: IpmiPool, target: Target) -> BootFlags:
    """The boot override the BMC holds."""
    answer = await pool.command(target, NETFN, GET_BOOT_OPTIONS, bytes((BOOT_FLAGS, 0, 0)))
    if len(answer) < 4 or answer[1] & 0x7F != BOOT_FLAGS:
        raise errors.Misbehaved(f"BMC {target.name} sent malformed boot options: {answer.hex(' ')}.")
    flags = answer[2]
    device = DEVICES.get(answer[3] & DEVICE_MASK)
    return BootFlags(bool(flags & VALID), device, bool(flags & PERSISTENT), bool(flags & UEFI))


async def disable_boot_timeout(pool: IpmiPool, target: Target) -> None:
    """Make the BMC keep boot flags longer than 60 s; many refuse this, and booting mostly works without."""
    await pool.command(target, NETFN, SET_BOOT_OPTIONS, bytes((FLAG_CLEARING, NOT_ON_TIMEOUT)))
