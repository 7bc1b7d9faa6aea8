"""The management contract: what a machine boots from next, and in which mode."""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum

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

    async def inject_nmi(self, ctx: Context) -> None:
        """Send a non-maskable interrupt."""
        raise errors.NotSupported(f"Node {ctx.node.uuid}: this management interface cannot inject an NMI")
