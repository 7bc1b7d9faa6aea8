"""The redfish driver against the emulator of sushy-tools, a service that others wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.conftest import sushy_url
from drivers import place
from ingot.domain import power
from ingot.interfaces.management import BootDevice

__all__ = ["sushy_url"]  # the fixture lives with the client's tests

pytestmark = [pytest.mark.peer, pytest.mark.slow]  # its machines take seconds for each change


async def test_power_and_boot_device(tmp_path: Path, sushy_url: str) -> None:
    async with place.opened(tmp_path) as site:
        ctx = await site.context("redfish", {"redfish_address": sushy_url})
        for target in (power.Target.ON, power.Target.REBOOT, power.Target.OFF):
            await ctx.power.set(ctx, target, 30)
            assert await ctx.power.get(ctx) == target.result()
        await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=True)
        assert (await ctx.management.get_boot_device(ctx)).boot_device == BootDevice.PXE
