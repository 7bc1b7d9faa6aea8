"""Boot from a URL that the BMC hands to the machine's UEFI firmware, which fetches our boot image from there itself.

Like ``http``, but the image's own URL, with its pass, comes by the BMC and not by DHCP: no other machine that asks gets
it, and a DHCP server of somebody else's does not matter. The firmware still takes its address from DHCP.
"""

from __future__ import annotations

from ingot.drivers.generic import boot_mode, boot_plan
from ingot.interfaces.boot import BootInterface
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.management import BootDevice

_HOW = "redfish-https"


class UrlBoot(BootInterface):
    """The firmware fetches a boot image from where its BMC says."""

    async def validate(self, ctx: Context) -> None:
        """UEFI, a port that the ramdisk's machine is known by, a provisioning network."""
        boot_mode.check_uefi(ctx)
        await boot_plan.check(ctx, _HOW)

    async def prepare_ramdisk(self, ctx: StepContext, params: dict[str, str]) -> None:
        """A new image, its URL into the BMC; boot from it once."""
        await ctx.kit.boot.remove_iso(ctx.node.uuid)
        await boot_plan.write_ramdisk(ctx, _HOW, params)
        url = await ctx.kit.boot.make_iso(ctx.node.uuid, params)
        await ctx.management.set_http_boot(ctx, url)

    async def release_ramdisk(self, ctx: StepContext) -> None:
        """No image: the URL, which the BMC may still hold, leads nowhere then."""
        await ctx.kit.boot.remove_iso(ctx.node.uuid)

    async def clean_up_ramdisk(self, ctx: StepContext) -> None:
        """The same, for a ramdisk that may never have called."""
        await boot_plan.write_disk(ctx)
        await self.release_ramdisk(ctx)

    async def prepare_instance(self, ctx: StepContext) -> None:
        """Boot from the disk, always."""
        await self.clean_up_ramdisk(ctx)
        await ctx.management.set_boot_device(ctx, BootDevice.DISK, persistent=True)

    async def explain_silence(self, ctx: Context, since: float) -> str | None:
        """Whether the firmware fetched the image, and what DHCP saw of the machine."""
        seen = await boot_plan.explain_silence(ctx, _HOW, since)
        fetched = ctx.kit.boot.last_seen(ctx.node.uuid)
        if boot_plan.problem(ctx, _HOW) or not boot_plan.was_seen(ctx, since):
            return seen
        if fetched is None or fetched[0] < since:
            return f"the firmware has not fetched the boot image from the URL its BMC was given; {seen}"
        return f"the firmware has fetched the boot image; {seen}"
