"""The ipmi driver's power and boot device against OpenIPMI's simulator, a BMC that others wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.conftest import OpenIpmi, openipmi
from drivers import place
from ingot.domain import power
from ingot.interfaces.management import BootDevice

__all__ = ["openipmi"]  # the fixture lives with the client's tests

pytestmark = pytest.mark.peer


async def test_power_and_boot_device(tmp_path: Path, openipmi: OpenIpmi) -> None:
    info = {"ipmi_address": "127.0.0.1", "ipmi_port": openipmi.port, "ipmi_username": "root"}
    async with place.opened(tmp_path) as site:
        ctx = await site.context("ipmi", {**info, "ipmi_password": "calvin", "ipmi_cipher_suite": 3}, boot_mode="bios")
        for target in (power.Target.ON, power.Target.REBOOT, power.Target.OFF):
            await ctx.power.set(ctx, target, 30)
            assert await ctx.power.get(ctx) == target.result()
        for device in (BootDevice.PXE, BootDevice.CDROM, BootDevice.DISK):
            await ctx.management.set_boot_device(ctx, device, persistent=True)
            assert (await ctx.management.get_boot_device(ctx)).boot_device == device
    powers = [action for action in openipmi.actions() if action.startswith("power=")]
    assert powers == ["power=1", "power=0", "power=1", "power=0"]
