"""The management contract: boot device and mode, secure boot, virtual media, sensors, lamps, event log.

Only the boot device is every machine's; the other methods raise errors.NotSupported where an implementation lacks them.
"""

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


class MediaKind(StrEnum):
    """The drives a BMC can show to its machine; wire words."""

    CDROM = "cdrom"
    DISK = "disk"
    FLOPPY = "floppy"


class IndicatorState(StrEnum):
    """What a lamp can do; wire words."""

    ON = "ON"
    OFF = "OFF"
    BLINKING = "BLINKING"
    UNKNOWN = "UNKNOWN"


class Indicator(msgspec.Struct, frozen=True):
    """A lamp: on which component ("system", "chassis", "drive") under which name, and what it can be set to."""

    component: str
    name: str
    states: tuple[IndicatorState, ...]
    readonly: bool = False


class Medium(msgspec.Struct, frozen=True):
    """A drive of the BMC: ``kinds`` it can be, the URL it holds (None: empty)."""

    name: str
    kinds: tuple[MediaKind, ...]
    image: str | None


class LogEntry(msgspec.Struct, frozen=True):
    """A line of a BMC's event log; ``at``: as the BMC writes it, ``severity``: OK, Warning or Critical."""

    id: str
    at: str | None
    severity: str
    message: str


Sensors = dict[str, dict[str, dict[str, Any]]]
"""Kind ("Fan", "Temperature", "Power", "Drive") -> unique name -> its fields, as Ironic's notifications have it."""


class BootChoice(msgspec.Struct, frozen=True):
    """A boot device (None: not known) and whether it stays for every boot."""

    boot_device: BootDevice | None
    persistent: bool | None


class ManagementInterface(Interface):
    """One way to a machine's settings."""

    boot_devices: tuple[BootDevice, ...] = (BootDevice.PXE, BootDevice.DISK, BootDevice.CDROM, BootDevice.BIOS)

    @abstractmethod
    async def set_boot_device(self, ctx: Context, device: BootDevice, *, persistent: bool) -> None:
        """Choose what the machine boots from, next time or always."""

    @abstractmethod
    async def get_boot_device(self, ctx: Context) -> BootChoice:
        """What the machine would boot from."""

    async def get_boot_mode(self, ctx: Context) -> str | None:
        """ "uefi", "bios", or None where the hardware does not tell."""
        return None

    async def list_boot_modes(self, ctx: Context) -> list[str]:
        """The modes ``set_boot_mode`` takes."""
        raise _lacks(ctx, "boot modes")

    async def set_boot_mode(self, ctx: Context, mode: str) -> None:
        """Choose "uefi" or "bios" for the boots to come. Raises errors.NotSupported for one the machine lacks."""
        raise _lacks(ctx, "boot modes")

    async def get_secure_boot(self, ctx: Context) -> bool:
        """Whether secure boot is on, or will be at the next boot."""
        raise _lacks(ctx, "secure boot")

    async def set_secure_boot(self, ctx: Context, *, enabled: bool) -> None:
        """Switch secure boot for the boots to come; no error where it is so already."""
        raise _lacks(ctx, "secure boot")

    async def inject_nmi(self, ctx: Context) -> None:
        """Send a non-maskable interrupt."""
        raise _lacks(ctx, "NMI")

    async def list_media(self, ctx: Context) -> list[Medium]:
        """The virtual drives."""
        raise _lacks(ctx, "virtual media")

    async def insert_media(self, ctx: Context, kind: MediaKind, url: str) -> None:
        """Put the image at ``url`` into a drive of ``kind``; returns once the BMC shows it there.

        Another image in the drive is ejected first; the same one stays. Raises errors.NotSupported without such a
        drive, errors.Misbehaved when the BMC refuses.
        """
        raise _lacks(ctx, "virtual media")

    async def eject_media(self, ctx: Context, kind: MediaKind | None = None) -> None:
        """Empty the drives of ``kind``, or all; no error where they are empty."""
        raise _lacks(ctx, "virtual media")

    async def get_sensors(self, ctx: Context) -> Sensors:
        """What the machine's sensors read now."""
        raise _lacks(ctx, "sensors")

    async def list_indicators(self, ctx: Context) -> list[Indicator]:
        """The lamps."""
        raise _lacks(ctx, "indicators")

    async def get_indicator(self, ctx: Context, component: str, name: str) -> IndicatorState:
        """What a lamp does now. Raises errors.NotFound."""
        raise _lacks(ctx, "indicators")

    async def set_indicator(self, ctx: Context, component: str, name: str, state: IndicatorState) -> None:
        """Switch a lamp. Raises errors.NotFound, errors.Invalid for a state it lacks."""
        raise _lacks(ctx, "indicators")

    async def list_events(self, ctx: Context) -> list[LogEntry]:
        """The BMC's event log, oldest first."""
        raise _lacks(ctx, "an event log")

    async def clear_events(self, ctx: Context) -> None:
        """Empty the event log."""
        raise _lacks(ctx, "an event log")

    async def detect_vendor(self, ctx: Context) -> str | None:
        """The maker, as the machine tells it; None when it does not."""
        return None


def _lacks(ctx: Context, what: str) -> errors.NotSupported:
    return errors.NotSupported(
        f"Node {ctx.node.uuid}: the management interface {ctx.node.management_interface} has no {what}"
    )
