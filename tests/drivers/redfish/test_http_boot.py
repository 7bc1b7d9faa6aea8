"""UEFI HTTP boot by the redfish driver: the URL that the BMC holds, and BMCs without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import place
from drivers.redfish import peer
from ingot.domain import errors, runs
from ingot.interfaces.management import BootChoice, BootDevice
from ingot_rack.hardware import BootDevice as Device
from ingot_rack.hardware import BootMode, BootOverride
from ingot_rack.redfish import computer
from interfaces import contracts, hardware_contracts

URL = "http://192.0.2.1:6386/boot/media/secret-pass/u/i.iso"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[place.Place]:
    async with place.opened(tmp_path) as opened:
        yield opened


async def test_the_bmc_holds_the_url_for_one_boot(site: place.Place) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        await ctx.management.set_http_boot(ctx, URL)
        assert bmc.machine.boot == BootOverride(Device.HTTP, persistent=False, mode=BootMode.UEFI, http_uri=URL)
        assert await ctx.management.get_boot_device(ctx) == BootChoice(BootDevice.UEFIHTTP, False)
        assert computer.boot(bmc.front)["HttpBootUri"] == URL


@pytest.mark.parametrize("device", [BootDevice.PXE, BootDevice.UEFIHTTP])
async def test_the_url_of_an_earlier_boot_is_taken_back(site: place.Place, device: BootDevice) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        await ctx.management.set_http_boot(ctx, URL)
        await ctx.management.set_boot_device(ctx, device, persistent=False)
        assert bmc.machine.boot.http_uri == ""
        assert computer.boot(bmc.front)["HttpBootUri"] is None


async def test_a_url_that_is_not_kept_is_noticed_and_not_told(site: place.Place) -> None:
    async with peer.running() as bmc:
        bmc.faults.change({"http_uri_forgotten": True})
        ctx = await site.context("redfish", bmc.info())
        said = await place.refusal(ctx.management.set_http_boot(ctx, URL))
        assert f"{bmc.name} accepted booting from UefiHttp, but 8 s later it holds no URL." in said
        assert "secret-pass" not in said


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("lenovo", "takes no URL to boot from (it has no HttpBootUri). Use boot interface http or ipxe."),
        ("ami", "cannot boot from UefiHttp; it offers None, Pxe, Hdd, Cd, BiosSetup."),
    ],
)
async def test_bmcs_without_it_are_told_apart(site: place.Place, shape: str, words: str) -> None:
    async with peer.running(shape) as bmc:
        ctx = await site.context("redfish", bmc.info())
        assert words in await place.refusal(ctx.management.set_http_boot(ctx, URL))
        assert bmc.machine.boot == BootOverride()


@pytest.mark.parametrize(
    ("shape", "device"), [("plain", Device.HTTP), ("lenovo", Device.HTTP), ("ami", Device.NETWORK)]
)
async def test_boot_over_http_falls_back_to_the_network(site: place.Place, shape: str, device: Device) -> None:
    async with peer.running(shape) as bmc:
        ctx = await site.context("redfish", bmc.info(), boot_interface="http-ipxe")
        stage = contracts.Stage(site.deps, site.calls, ctx.node.uuid)
        run = await hardware_contracts.run_method(stage, "boot", "prepare_ramdisk", more=({},))
        assert run.status == runs.Status.SUCCEEDED, run.reason
        assert bmc.machine.boot.device is device


async def test_bios_machines_are_refused(site: place.Place) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info(), boot_interface="redfish-https", boot_mode="bios")
        assert "boots in BIOS mode, which has no HTTP boot" in await place.refusal(ctx.boot.validate(ctx))


async def test_noop_management_boots_what_the_machine_has_first(site: place.Place) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info(), management_interface="noop")
        await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)
        assert bmc.machine.boot == BootOverride()
        with pytest.raises(errors.NotSupported, match="cannot give the machine a URL to boot from"):
            await ctx.management.set_http_boot(ctx, URL)
