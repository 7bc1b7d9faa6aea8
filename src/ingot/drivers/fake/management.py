"""Boot device of an imaginary machine: kept nowhere, always the disk unless told otherwise in this process."""

from __future__ import annotations

from ingot.drivers.fake import acts
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootChoice, BootDevice, ManagementInterface


class FakeManagement(ManagementInterface):
    """Remembers the boot device of each node while the process lives."""

    boot_devices = (BootDevice.PXE, BootDevice.DISK, BootDevice.CDROM)

    def __init__(self) -> None:
        self._chosen: dict[str, BootChoice] = {}

    async def set_boot_device(self, ctx: Context, device: BootDevice, *, persistent: bool) -> None:
        """Remember it."""
        await acts.act(ctx, "management.set_boot_device", f"boot device {device}")
        self._chosen[ctx.node.uuid] = BootChoice(device, persistent)

    async def get_boot_device(self, ctx: Context) -> BootChoice:
        """What was set last; PXE at first, as fake machines always said."""
        await acts.act(ctx, "management.get_boot_device")
        return self._chosen.get(ctx.node.uuid, BootChoice(BootDevice.PXE, False))
