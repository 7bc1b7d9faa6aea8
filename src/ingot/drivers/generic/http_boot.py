"""UEFI HTTP boot: the firmware itself fetches what to boot from a URL in the DHCP answer.

``http`` gives it an image with the ramdisk, started by the signed shim and GRUB, so Secure Boot and IPv6 work;
``http-ipxe`` gives it iPXE, which asks for its script. The URL is the same for all; the answer depends on who asks.
"""

from __future__ import annotations

from contextlib import suppress

from ingot.domain import errors
from ingot.drivers.generic import boot_mode, boot_plan
from ingot.interfaces.boot import BootInterface
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.management import BootDevice


class HttpBoot(BootInterface):
    """The firmware fetches a boot image."""

    async def validate(self, ctx: Context) -> None:
        """UEFI, a card to boot from, a provisioning network to boot on."""
        boot_mode.check_uefi(ctx)
        await boot_plan.check(ctx, "http")

    async def prepare_ramdisk(self, ctx: StepContext, params: dict[str, str]) -> None:
        """A new image; boot over HTTP once."""
        await ctx.kit.boot.remove_iso(ctx.node.uuid)
        await boot_plan.write_ramdisk(ctx, "http", params)
        await ctx.kit.boot.make_iso(ctx.node.uuid, params)
        await _over_http(ctx)

    async def resume_ramdisk(self, ctx: StepContext) -> None:
        """Make the image where it is missing: another host may have made it."""
        params = boot_plan.ramdisk_params(ctx)
        if params is not None:
            await ctx.kit.boot.make_iso(ctx.node.uuid, params)

    async def clean_up_ramdisk(self, ctx: StepContext) -> None:
        """No image: a network boot of this machine goes on to its disk."""
        await ctx.kit.boot.remove_iso(ctx.node.uuid)
        await boot_plan.write_disk(ctx)

    async def prepare_instance(self, ctx: StepContext) -> None:
        """Boot from the disk, always."""
        await self.clean_up_ramdisk(ctx)
        await ctx.management.set_boot_device(ctx, BootDevice.DISK, persistent=True)

    async def explain_silence(self, ctx: Context, since: float) -> str | None:
        """What DHCP and HTTP saw of the machine since it was switched on."""
        return await boot_plan.explain_silence(ctx, "http", since)


class HttpIpxeBoot(BootInterface):
    """The firmware fetches iPXE, and iPXE its script."""

    async def validate(self, ctx: Context) -> None:
        """UEFI, a card to boot from, a provisioning network to boot on."""
        boot_mode.check_uefi(ctx)
        await boot_plan.check(ctx, "http-ipxe")

    async def prepare_ramdisk(self, ctx: StepContext, params: dict[str, str]) -> None:
        """From now on the machine's script loads the ramdisk; boot over HTTP once."""
        await boot_plan.write_ramdisk(ctx, "http-ipxe", params)
        await _over_http(ctx)

    async def clean_up_ramdisk(self, ctx: StepContext) -> None:
        """From now on the machine's script starts what is on the disk."""
        await boot_plan.write_disk(ctx)

    async def prepare_instance(self, ctx: StepContext) -> None:
        """Boot from the disk, always."""
        await boot_plan.write_disk(ctx)
        await ctx.management.set_boot_device(ctx, BootDevice.DISK, persistent=True)

    async def explain_silence(self, ctx: Context, since: float) -> str | None:
        """What DHCP and HTTP saw of the machine since it was switched on."""
        return await boot_plan.explain_silence(ctx, "http-ipxe", since)


async def _over_http(ctx: StepContext) -> None:
    """HTTP, once, where management and BMC can be told; else the network, whose entries firmware tries in its order."""
    if BootDevice.UEFIHTTP in ctx.management.boot_devices:
        with suppress(errors.NotSupported):
            return await ctx.management.set_boot_device(ctx, BootDevice.UEFIHTTP, persistent=False)
    return await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)
