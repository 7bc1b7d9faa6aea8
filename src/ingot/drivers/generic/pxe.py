"""Boot without iPXE: PXELINUX for BIOS, the distribution's signed shim and GRUB for UEFI, all by TFTP.

For machines whose Secure Boot refuses iPXE, or on which iPXE does not run. The files are per MAC address; a new owner
of the node writes them anew from the plan in the row.
"""

from __future__ import annotations

from ingot.drivers.generic import boot_plan
from ingot.interfaces.boot import BootInterface
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.management import BootDevice


class PxeBoot(BootInterface):
    """Network boot through PXELINUX or GRUB."""

    async def validate(self, ctx: Context) -> None:
        """There must be a card to boot from, and a provisioning network to boot on."""
        await boot_plan.check(ctx, "pxe")

    async def prepare_ramdisk(self, ctx: StepContext, params: dict[str, str]) -> None:
        """Files for each card; boot from the network once."""
        await boot_plan.write_ramdisk(ctx, "pxe", params)
        await ctx.kit.boot.remove_pxe(ctx.macs())
        await ctx.kit.boot.lay_pxe(ctx.macs(), params)
        await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)

    async def resume_ramdisk(self, ctx: StepContext) -> None:
        """Write the files where they are missing: another host may have written them."""
        params = boot_plan.ramdisk_params(ctx)
        if params is not None:
            await ctx.kit.boot.lay_pxe(ctx.macs(), params)

    async def clean_up_ramdisk(self, ctx: StepContext) -> None:
        """No files: a network boot of this machine goes on to its disk."""
        await ctx.kit.boot.remove_pxe(ctx.macs())
        await boot_plan.write_disk(ctx)

    async def prepare_instance(self, ctx: StepContext) -> None:
        """Boot from the disk, always."""
        await self.clean_up_ramdisk(ctx)
        await ctx.management.set_boot_device(ctx, BootDevice.DISK, persistent=True)

    async def explain_silence(self, ctx: Context, since: float) -> str | None:
        """What DHCP and TFTP saw of the machine since it was switched on."""
        return await boot_plan.explain_silence(ctx, "pxe", since)
