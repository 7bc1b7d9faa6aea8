"""The contract suites for the redfish driver: against the rack's BMC, by session and by basic auth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import place
from drivers.redfish import peer
from ingot.domain import power
from ingot_rack import fleet as fleets
from ingot_rack.hardware import PowerState
from ingot_rack.redfish.shapes import SHAPES
from interfaces import contracts, hardware_contracts

PASSWORD = "rack-password"


@pytest.fixture(params=["session", "basic"])
async def stage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[contracts.Stage]:
    fleet = fleets.Fleet(fleets.Plan(redfish=1, first="127.68.0.1", password=PASSWORD))
    await fleet.start()
    machine = fleet.machines["sim-00000"]
    url = f"http://127.68.0.1:{fleet.ports['redfish']}"
    info = {"redfish_address": url, "redfish_username": "admin", "redfish_password": PASSWORD}
    info |= {"redfish_auth_type": request.param}

    def seen() -> str:
        return power.Power.ON if machine.power is PowerState.ON else power.Power.OFF

    async def deafen() -> None:
        fleet.bmcs["sim-00000"].faults.change({"unavailable_next": 10_000})

    silence = deafen if request.param == "session" else None  # once is enough: it takes long
    async with place.opened(tmp_path) as site:
        ctx = await site.context("redfish", info, cards=2)
        yield contracts.Stage(
            site.deps,
            site.calls,
            ctx.node.uuid,
            seen_power=seen,
            incomplete={},
            break_peer=silence,
        )
    await fleet.close()


@pytest.fixture(params=SHAPES)
async def disks(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[contracts.Stage]:
    """A machine with disks enough for volumes, in every maker's shape."""
    async with peer.running(request.param) as bmc, place.opened(tmp_path) as site:
        ctx = await site.context("redfish", bmc.info())
        yield contracts.Stage(site.deps, site.calls, ctx.node.uuid, incomplete={})


class TestPower(contracts.PowerContract):
    pass


class TestManagement(contracts.ManagementContract):
    pass


class TestBios(hardware_contracts.BiosContract):
    pass


class TestRaid(hardware_contracts.RaidContract):
    @pytest.fixture
    def stage(self, disks: contracts.Stage) -> contracts.Stage:
        return disks


class TestFirmware(hardware_contracts.FirmwareContract):
    pass


class TestInspect(contracts.InspectContract):
    @pytest.fixture
    async def stage(self, tmp_path: Path) -> AsyncIterator[contracts.Stage]:
        async with peer.running() as bmc, place.opened(tmp_path) as site:
            ctx = await site.context("redfish", bmc.info(), inspect_interface="redfish")
            yield contracts.Stage(site.deps, site.calls, ctx.node.uuid, incomplete={})


class TestConsole(hardware_contracts.ConsoleContract):
    """By IPMI, as in Ironic: a BMC that speaks both."""

    typed = (b"hello", b"hello")

    @pytest.fixture
    async def stage(self, tmp_path: Path) -> AsyncIterator[contracts.Stage]:
        fleet = fleets.Fleet(fleets.Plan(ipmi=1, first="127.69.0.1", password=PASSWORD))
        await fleet.start()
        info = {"redfish_address": "http://127.69.0.1", "ipmi_address": "127.69.0.1", "ipmi_username": "admin"}
        info |= {"ipmi_password": PASSWORD, "ipmi_port": str(fleet.ports["ipmi"])}
        async with place.opened(tmp_path) as site:
            ctx = await site.context("redfish", info, console_interface="ipmi-sol")
            yield contracts.Stage(site.deps, site.calls, ctx.node.uuid, incomplete={"redfish_address": "http://x"})
        await fleet.close()


class TestVendor(hardware_contracts.VendorContract):
    reads = ("get_all_subscriptions", {})
