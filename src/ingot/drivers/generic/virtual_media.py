"""Boot from a CD that only exists for this boot: the BMC reads our image and shows it to the machine as a drive.

No DHCP answer, boot loader or card of the machine's firmware is relied on; the ramdisk still needs an address. The
image holds the kernel parameters and is made anew for every boot. May not: leave an image in the drive.
"""

from __future__ import annotations

from ingot.drivers.generic import boot_plan
from ingot.interfaces.boot import BootInterface
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.management import BootDevice


class VirtualMediaBoot(BootInterface):
    """Boot from the BMC's virtual CD drive."""

    async def validate(self, ctx: Context) -> None:
        """The ramdisk must be there, and its machine known by a port."""
        await boot_plan.check(ctx, "media")

    async def prepare_ramdisk(self, ctx: StepContext, params: dict[str, str]) -> None:
        """A new image into the drive; boot from it once."""
        await ctx.kit.boot.remove_iso(ctx.node.uuid)
        await boot_plan.write_ramdisk(ctx, "media", params)
        url = await ctx.kit.boot.make_iso(ctx.node.uuid, params)
        await ctx.management.attach_media(ctx, BootDevice.CDROM, url)
        await ctx.management.set_boot_device(ctx, BootDevice.CDROM, persistent=False)

    async def release_ramdisk(self, ctx: StepContext) -> None:
        """The drive empty, the image gone; the image goes also where the BMC fails."""
        await ctx.kit.boot.remove_iso(ctx.node.uuid)
        await ctx.management.detach_media(ctx, (BootDevice.CDROM,))

    async def clean_up_ramdisk(self, ctx: StepContext) -> None:
        """The same, for a ramdisk that may never have called."""
        await boot_plan.write_disk(ctx)
        await self.release_ramdisk(ctx)

    async def prepare_instance(self, ctx: StepContext) -> None:
        """Boot from the disk, always."""
        await self.clean_up_ramdisk(ctx)
        await ctx.management.set_boot_device(ctx, BootDevice.DISK, persistent=True)

    async def explain_silence(self, ctx: Context, since: float) -> str | None:
        """Whether the BMC read the image, and what DHCP saw of the ramdisk."""
        seen = await boot_plan.explain_silence(ctx, "media", since)
        if boot_plan.problem(ctx, "media") or boot_plan.was_seen(ctx, since):
            return seen
        fetched = ctx.kit.boot.last_seen(ctx.node.uuid)
        if fetched is None or fetched[0] < since:
            return "the BMC has not read the boot image; does it reach this host's provisioning address?"
        return f"the BMC has read the boot image, but {seen}"
