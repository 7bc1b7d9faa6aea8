"""Management of a machine that lets nothing be managed: boot devices are somebody else's work."""

from __future__ import annotations

from ingot.interfaces.context import Context
from ingot.interfaces.management import BootChoice, BootDevice, ManagementInterface


class NoopManagement(ManagementInterface):
    """Takes any boot device and does nothing; the machine's own boot order must have the network first."""

    boot_devices = (BootDevice.PXE, BootDevice.DISK, BootDevice.CDROM, BootDevice.BIOS, BootDevice.SAFE)

    async def set_boot_device(self, ctx: Context, device: BootDevice, *, persistent: bool) -> None:
        """Do nothing."""

    async def get_boot_device(self, ctx: Context) -> BootChoice:
        """Not known."""
        return BootChoice(None, None)
