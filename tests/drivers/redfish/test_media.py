"""Virtual media, boot mode and secure boot of the redfish driver, against BMCs in the shapes of several makers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import place
from drivers.redfish import peer
from ingot.clients.redfish import quirks
from ingot.domain import power
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootDevice
from ingot_rack.hardware import BootDevice as Device
from ingot_rack.hardware import BootMode
from ingot_rack.redfish import computer, secureboot
from ingot_rack.redfish.shapes import SHAPES

ISO, OTHER = "http://192.0.2.1/a.iso", "https://192.0.2.1/b.iso"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[place.Place]:
    async with place.opened(tmp_path) as opened:
        yield opened


async def held(ctx: Context) -> dict[BootDevice, str | None]:
    """What is in each kind of drive; one drive may be seen by two managers."""
    return {one.device: one.image_url for one in await ctx.management.list_media(ctx)}


@pytest.mark.parametrize("shape", SHAPES)
async def test_images_go_in_and_out_in_every_shape(site: place.Place, shape: str) -> None:
    async with peer.running(shape) as bmc:
        ctx = await site.context("redfish", bmc.info())
        for url in (ISO, ISO, OTHER):
            await ctx.management.attach_media(ctx, BootDevice.CDROM, url)
            assert (await held(ctx))[BootDevice.CDROM] == url
            assert str(bmc.machine.media) == Path(url.partition("192.0.2.1")[2]).as_posix()
        await ctx.management.attach_media(ctx, BootDevice.DISK, OTHER)
        assert (await held(ctx))[BootDevice.DISK] == OTHER
        await ctx.management.detach_media(ctx, (BootDevice.CDROM,))
        assert bmc.machine.media is None
        assert (await held(ctx))[BootDevice.DISK] == OTHER
        for _ in range(2):
            await ctx.management.detach_media(ctx, ())
        assert set((await held(ctx)).values()) == {None}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_machine_boots_from_its_virtual_cd_in_every_shape(site: place.Place, shape: str) -> None:
    async with peer.running(shape) as bmc:
        seen: list[Device] = []
        bmc.machine.on_boot = seen.append
        ctx = await site.context("redfish", bmc.info())
        await ctx.management.attach_media(ctx, BootDevice.CDROM, ISO)
        await ctx.management.set_boot_device(ctx, BootDevice.CDROM, persistent=False)
        assert (await ctx.management.get_boot_device(ctx)).boot_device == BootDevice.CDROM
        await ctx.power.set(ctx, power.Target.ON, 10)
        assert seen == [Device.CD]


async def test_a_refused_image_says_so(site: place.Place) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        bmc.faults.change({"media_refused": True})
        said = await place.refusal(ctx.management.attach_media(ctx, BootDevice.CDROM, ISO))
        assert said == (
            f"Redfish service {bmc.name} answered 500 to the insertion of an image into "
            "/redfish/v1/Systems/1/VirtualMedia/Cd: The request failed due to an internal service error. The service "
            "is still operational. Check that the BMC reaches the image's address, and its licence for virtual "
            "media; its own log says more."
        )
        said = await place.refusal(ctx.management.attach_media(ctx, BootDevice.CDROM, "ftp://192.0.2.1/a.iso"))
        assert "answered 400" in said


async def test_boot_mode_changes_with_the_next_start(site: place.Place) -> None:
    async with peer.running("dell") as bmc:
        ctx = await site.context("redfish", bmc.info())
        await ctx.management.set_boot_mode(ctx, "bios")
        assert bmc.front.part(computer.Firmware).mode is BootMode.UEFI
        await ctx.power.set(ctx, power.Target.ON, 10)
        assert bmc.front.part(computer.Firmware).mode is BootMode.BIOS
        assert await ctx.management.get_boot_mode(ctx) == "bios"


async def test_a_boot_mode_the_machine_lacks_is_refused_by_name(site: place.Place) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        assert "The value Legacy for the property" in await place.refusal(ctx.management.set_boot_mode(ctx, "bios"))


async def test_secure_boot_is_switched_for_the_next_start(site: place.Place) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        assert await ctx.management.get_secure_boot(ctx) is False
        await ctx.management.set_secure_boot(ctx, on=True)
        assert await ctx.management.get_secure_boot(ctx) is True
        assert bmc.front.part(secureboot.State).was is False
        await ctx.power.set(ctx, power.Target.ON, 10)
        assert bmc.front.part(secureboot.State).was is True
        before = bmc.server.requests
        await ctx.management.set_secure_boot(ctx, on=True)
        assert bmc.server.requests - before <= 2, "nothing was to change, so nothing was sent"


def test_every_quirk_names_its_source() -> None:
    assert quirks.load()
    for maker, one in quirks.load().items():
        assert len(one.source) > 20, maker
