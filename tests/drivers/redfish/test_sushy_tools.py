"""The redfish driver against the emulator of sushy-tools, a service that others wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from clients.conftest import sushy_url
from drivers import place
from ingot.clients.redfish import inventory
from ingot.domain import power
from ingot.drivers.redfish import target
from ingot.interfaces.management import BootDevice

__all__ = ["sushy_url"]  # the fixture lives with the client's tests

pytestmark = [pytest.mark.peer, pytest.mark.slow]  # its machines take seconds for each change


async def test_power_and_boot_device(tmp_path: Path, sushy_url: str) -> None:
    async with place.opened(tmp_path) as site:
        ctx = await site.context("redfish", {"redfish_address": sushy_url})
        for wanted in (power.Target.ON, power.Target.REBOOT, power.Target.OFF):
            await ctx.power.set(ctx, wanted, 30)
            assert await ctx.power.get(ctx) == wanted.result()
        await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=True)
        assert (await ctx.management.get_boot_device(ctx)).boot_device == BootDevice.PXE


async def test_media_modes_and_inventory(tmp_path: Path, sushy_url: str) -> None:
    async with place.opened(tmp_path) as site:
        ctx = await site.context("redfish", {"redfish_address": sushy_url})
        image = tmp_path / "a.iso"
        image.write_bytes(b"iso" * 1000)

        async def serve(_: web.Request) -> web.FileResponse:
            return web.FileResponse(image)

        app = web.Application()
        app.router.add_get("/a.iso", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/a.iso"
        await ctx.management.attach_media(ctx, BootDevice.CDROM, url)
        assert url in [one.image_url for one in await ctx.management.list_media(ctx)]
        await ctx.management.detach_media(ctx, ())
        assert {one.image_url for one in await ctx.management.list_media(ctx)} == {None}
        await runner.cleanup()
        assert await ctx.management.get_boot_mode(ctx) in {"uefi", "bios"}
        found = await inventory.read(ctx.kit.redfish, target.of(ctx))
        assert [one["mac_address"] for one in found["interfaces"]]
        assert (await ctx.management.get_sensors(ctx))["Temperature"]
        assert "chassis" in await ctx.management.list_indicators(ctx)
