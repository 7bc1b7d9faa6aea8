"""Boot by iPXE: DHCP never changes, the script is rendered from the node's row when the machine asks for it.

So preparing is writing two words into the row, and a new owner of the node need not do anything.
"""

from __future__ import annotations

from ingot.drivers.generic import boot_plan
from ingot.interfaces.boot import BootInterface
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.management import BootDevice


class IpxeBoot(BootInterface):
    """Network boot through iPXE over HTTP."""

    async def validate(self, ctx: Context) -> None:
        """There must be a card to boot from, and a provisioning network to boot on."""
        await boot_plan.check(ctx, "ipxe")

    async def prepare_ramdisk(self, ctx: StepContext, params: dict[str, str]) -> None:
        """From now on the machine's script loads the ramdisk; boot from the network once."""
        await boot_plan.write_ramdisk(ctx, "ipxe", params)
        await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)

    async def clean_up_ramdisk(self, ctx: StepContext) -> None:
        """From now on the machine's script starts what is on the disk."""
        await boot_plan.write_disk(ctx)

    async def prepare_instance(self, ctx: StepContext) -> None:
        """Boot from the disk, always."""
        await boot_plan.write_disk(ctx)
        await ctx.management.set_boot_device(ctx, BootDevice.DISK, persistent=True)

    async def explain_silence(self, ctx: Context, since: float) -> str | None:
        """What DHCP, TFTP and HTTP saw of the machine since it was switched on."""
        return await boot_plan.explain_silence(ctx, "ipxe", since)
