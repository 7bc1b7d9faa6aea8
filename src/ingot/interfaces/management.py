"""The management contract: what a machine boots from next and in which mode, its sensors, its lamps."""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum
from typing import Any

import msgspec

from ingot.domain import errors
from ingot.interfaces.context import Context
from ingot.interfaces.contract import Interface


class BootDevice(StrEnum):
    """What a machine can be told to boot from; wire words."""

    PXE = "pxe"
    DISK = "disk"
    CDROM = "cdrom"
    BIOS = "bios"
    SAFE = "safe"


class BootChoice(msgspec.Struct, frozen=True):
    """A boot device (None: not known) and whether it stays for every boot."""

    boot_device: BootDevice | None
    persistent: bool | None


class IndicatorState(StrEnum):
    """What a lamp does; wire words."""

    ON = "on"
    OFF = "off"
    BLINKING = "blinking"
    UNKNOWN = "unknown"


class Indicator(msgspec.Struct, frozen=True):
    """A lamp: whether it can only be read, and what it can be set to."""

    readonly: bool
    states: tuple[IndicatorState, ...]


Indicators = dict[str, dict[str, Indicator]]
"""Component ("chassis", "system", "disk", "power", "nic") -> name of the lamp -> the lamp."""

Sensors = dict[str, dict[str, dict[str, Any]]]
"""Kind of sensor -> name of the sensor -> what is known of it, at least "Sensor Reading" (words, with the unit)."""


class ManagementInterface(Interface):
    """One way to a machine's settings."""

    boot_devices: tuple[BootDevice, ...] = (BootDevice.PXE, BootDevice.DISK, BootDevice.CDROM, BootDevice.BIOS)
    boot_modes: tuple[str, ...] = ()
    """What ``set_boot_mode`` can be asked for: "uefi", "bios"."""

    @abstractmethod
    async def set_boot_device(self, ctx: Context, device: BootDevice, *, persistent: bool) -> None:
        """Choose what the machine boots from, next time or always."""

    @abstractmethod
    async def get_boot_device(self, ctx: Context) -> BootChoice:
        """What the machine would boot from."""

    async def get_boot_mode(self, ctx: Context) -> str | None:
        """ "uefi", "bios", or None where the hardware does not tell."""
        return None

    async def set_boot_mode(self, ctx: Context, mode: str) -> None:
        """Let the machine boot in this mode (one of ``boot_modes``) from its next boot on."""
        raise _lacking(ctx, "set the boot mode")

    async def inject_nmi(self, ctx: Context) -> None:
        """Send a non-maskable interrupt."""
        raise _lacking(ctx, "inject an NMI")

    async def get_sensors(self, ctx: Context) -> Sensors:
        """What the machine's sensors say now; those without a reading are left out."""
        raise _lacking(ctx, "read sensors")

    async def list_indicators(self, ctx: Context) -> Indicators:
        """The machine's lamps."""
        raise _lacking(ctx, "switch indicators")

    async def get_indicator(self, ctx: Context, component: str, name: str) -> IndicatorState:
        """What a lamp does now. Raises errors.NotFound for one that is not among ``list_indicators``."""
        raise _lacking(ctx, "switch indicators")

    async def set_indicator(self, ctx: Context, component: str, name: str, state: IndicatorState) -> None:
        """Switch a lamp. Raises errors.NotFound for an unknown one, errors.Invalid for a state it does not have."""
        raise _lacking(ctx, "switch indicators")


def _lacking(ctx: Context, what: str) -> errors.NotSupported:
    return errors.NotSupported(f"Node {ctx.node.uuid}: this management interface cannot {what}")
