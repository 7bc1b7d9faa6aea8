"""The contract suites for the ipmi driver: against the rack's BMC with both cipher suites."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import place
from ingot.domain import power
from ingot.interfaces.management import BootDevice
from ingot_rack import fleet as fleets
from ingot_rack.hardware import PowerState
from interfaces import contracts

PASSWORD = "rack-password"


@pytest.fixture(params=[3, 17])
async def stage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[contracts.Stage]:
    fleet = fleets.Fleet(fleets.Plan(ipmi=1, first="127.67.0.1", password=PASSWORD))
    await fleet.start()
    machine = fleet.machines["sim-00000"]
    info = {"ipmi_address": "127.67.0.1", "ipmi_port": fleet.ports["ipmi"], "ipmi_cipher_suite": request.param}
    info |= {"ipmi_username": "admin", "ipmi_password": PASSWORD}

    def seen() -> str:
        return power.Power.ON if machine.power is PowerState.ON else power.Power.OFF

    async def deafen() -> None:
        fleet.bmcs["sim-00000"].faults.change({"drop_rate": 1.0})

    silence = deafen if request.param == 17 else None  # once is enough: it takes long
    async with place.opened(tmp_path) as site:
        ctx = await site.context("ipmi", info, cards=2)
        yield contracts.Stage(
            site.deps,
            site.calls,
            ctx.node.uuid,
            seen_power=seen,
            incomplete={},
            break_peer=silence,
        )
    await fleet.close()


class TestPower(contracts.PowerContract):
    pass


class TestManagement(contracts.ManagementContract):
    async def test_a_boot_device_set_is_the_one_read(self, stage: contracts.Stage) -> None:
        """All but "safe", which no simulator has: neither the rack's BMC nor OpenIPMI's."""
        ctx = await stage.context()
        for device in set(ctx.management.boot_devices) - {BootDevice.SAFE}:
            await ctx.management.set_boot_device(ctx, device, persistent=False)
            assert (await ctx.management.get_boot_device(ctx)).boot_device == device
