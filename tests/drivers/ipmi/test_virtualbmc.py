"""The ipmi driver against virtualbmc, which drives a machine of libvirt's test driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.conftest import virtualbmc_port
from drivers import place
from ingot.domain import errors, power
from ingot.interfaces.management import BootDevice

__all__ = ["virtualbmc_port"]  # the fixture lives with the client's tests

pytestmark = pytest.mark.peer


async def test_power_boot_device_and_what_it_lacks(tmp_path: Path, virtualbmc_port: int) -> None:
    info = {"ipmi_address": "127.0.0.1", "ipmi_port": virtualbmc_port, "ipmi_username": "admin"}
    async with place.opened(tmp_path) as site:
        ctx = await site.context("ipmi", {**info, "ipmi_password": "password"}, boot_mode="bios")
        assert await ctx.power.get(ctx) == power.Power.ON, "libvirt's test machine is on at first"
        for target in (power.Target.OFF, power.Target.ON, power.Target.REBOOT, power.Target.SOFT_OFF):
            await ctx.power.set(ctx, target, 30)
            assert await ctx.power.get(ctx) == target.result()
        for device in (BootDevice.PXE, BootDevice.CDROM, BootDevice.DISK):
            await ctx.management.set_boot_device(ctx, device, persistent=True)
            assert (await ctx.management.get_boot_device(ctx)).boot_device == device
        with pytest.raises(errors.NotSupported, match="code C1"):
            await ctx.management.get_sensors(ctx)
        with pytest.raises(errors.NotSupported, match="code C1"):
            await ctx.management.list_events(ctx)
