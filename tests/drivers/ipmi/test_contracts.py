"""The contract suites for the ipmi driver: against the rack's BMC with both cipher suites, and with IPMI 1.5 alone."""

from __future__ import annotations

import pytest

from drivers import place
from drivers.ipmi.single import Single
from ingot.domain import power
from ingot.interfaces.management import BootDevice
from ingot_rack.hardware import PowerState
from interfaces import contracts, hardware_contracts


@pytest.fixture(params=[3, 17, "1.5"])
async def stage(site: place.Place, one: Single, request: pytest.FixtureRequest) -> contracts.Stage:
    def seen() -> str:
        return power.Power.ON if one.machine.power is PowerState.ON else power.Power.OFF

    async def deafen() -> None:
        one.break_it(drop_rate=1.0)

    way = {"ipmi_cipher_suite": request.param}
    if request.param == "1.5":
        one.bmc.versions, way = frozenset({"1.5"}), {"ipmi_protocol_version": "1.5"}
    silence = deafen if request.param == 17 else None  # once is enough: it takes long
    ctx = await site.context("ipmi", one.info(**way), cards=2)
    return contracts.Stage(site.deps, site.calls, ctx.node.uuid, seen_power=seen, incomplete={}, break_peer=silence)


class TestPower(contracts.PowerContract):
    pass


class TestManagement(contracts.ManagementContract):
    async def test_a_boot_device_set_is_the_one_read(self, stage: contracts.Stage) -> None:
        """All but "safe", which no simulator has: neither the rack's BMC nor OpenIPMI's."""
        ctx = await stage.context()
        for device in set(ctx.management.boot_devices) - {BootDevice.SAFE}:
            await ctx.management.set_boot_device(ctx, device, persistent=False)
            assert (await ctx.management.get_boot_device(ctx)).boot_device == device


class TestVendor(hardware_contracts.VendorContract):
    reads = ("query_raw", {"raw_bytes": "0x06 0x01"})
