"""The management contract: what a machine boots from and in which mode, its sensors, lamps, event log and media."""

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
    WANBOOT = "wanboot"
    ISCSIBOOT = "iscsiboot"
    FLOPPY = "floppy"
    UEFIHTTP = "uefihttp"


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


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the BMC's own event log. ``at``: ISO 8601 as the BMC's clock had it, None if it had no time."""

    id: str
    at: str | None
    severity: str | None
    source: str | None
    message: str


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual drive: what kind, and the URL of the image in it (None: empty)."""

    device: BootDevice
    image_url: str | None


MEDIA_DEVICES = (BootDevice.DISK, BootDevice.CDROM, BootDevice.FLOPPY)
"""The kinds of virtual drives."""


class ManagementInterface(Interface):
    """One way to a machine's settings. What hardware cannot do stays as it is here: errors.NotSupported."""

    boot_devices: tuple[BootDevice, ...] = (BootDevice.PXE, BootDevice.DISK, BootDevice.CDROM, BootDevice.BIOS)
    boot_modes: tuple[str, ...] = ()
    """What ``set_boot_mode`` can be asked for: "uefi", "bios"."""

    @abstractmethod
    async def set_boot_device(self, ctx: Context, device: BootDevice, *, persistent: bool) -> None:
        """Choose what the machine boots from, next time or always."""

    @abstractmethod
    async def get_boot_device(self, ctx: Context) -> BootChoice:
        """What the machine would boot from."""

    async def set_http_boot(self, ctx: Context, url: str) -> None:
        """Let the machine's firmware fetch ``url`` at its next boot, and boot what it gets."""
        raise _lacking(ctx, "give the machine a URL to boot from")

    async def get_boot_mode(self, ctx: Context) -> str | None:
        """ "uefi", "bios", or None where the hardware does not tell."""
        return None

    async def set_boot_mode(self, ctx: Context, mode: str) -> None:
        """Let the machine boot in this mode (one of ``boot_modes``) from its next boot on."""
        raise _lacking(ctx, "set the boot mode")

    async def get_secure_boot(self, ctx: Context) -> bool | None:
        """Whether only signed systems start; None where the hardware does not tell."""
        return None

    async def set_secure_boot(self, ctx: Context, *, on: bool) -> None:
        """Let only signed systems start, or any, from the next boot on."""
        raise _lacking(ctx, "set secure boot")

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

    async def list_events(self, ctx: Context) -> list[LogEntry]:
        """The BMC's event log (SEL), oldest first."""
        raise _lacking(ctx, "read the event log")

    async def clear_events(self, ctx: Context) -> None:
        """Empty the BMC's event log."""
        raise _lacking(ctx, "clear the event log")

    async def list_media(self, ctx: Context) -> list[Media]:
        """The machine's virtual drives."""
        raise _lacking(ctx, "attach virtual media")

    async def attach_media(self, ctx: Context, device: BootDevice, image_url: str) -> None:
        """Put the image at ``image_url`` (as the BMC reaches it) into a virtual drive of that kind.

        What is in the drive is replaced. Raises errors.Invalid when there is no such drive.
        """
        raise _lacking(ctx, "attach virtual media")

    async def detach_media(self, ctx: Context, devices: tuple[BootDevice, ...]) -> None:
        """Empty the virtual drives of these kinds (none named: all); no error where they are empty."""
        raise _lacking(ctx, "detach virtual media")


def _lacking(ctx: Context, what: str) -> errors.NotSupported:
    return errors.NotSupported(f"Node {ctx.node.uuid}: this management interface cannot {what}")
