"""One machine per way to boot: until its ramdisk has reported, which every deployment begins with."""

from __future__ import annotations

import pytest

from e2e import way
from ingot.cli.demo import artifacts
from ingot.cli.demo.world import Machine, World

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(420)]

REAL_CARD = {"nic_rom": False}
SECURE = {**REAL_CARD, "secure_boot": True}


async def inspected(world: World, machine: Machine, boot_interface: str) -> way.Json:
    """Inspect by booting the ramdisk this way; the inventory."""
    await way.enrol(world, machine, boot_interface=boot_interface)
    await way.ask(world, machine, "inspect")
    await way.reach(world, machine, "manageable", within=300)
    found: way.Json = (await world.call("GET", f"/v1/nodes/{machine.name}/inventory"))["inventory"]
    return found


async def test_pxelinux(made: artifacts.Artifacts) -> None:
    async with way.opened("pxe", made, firmwares=("bios",)) as world:
        (machine,) = world.machines
        inventory = await inspected(world, machine, "pxe")
        assert inventory["boot"]["current_boot_mode"] == "bios"
        assert "PXELINUX" in way.console(machine)


async def test_secure_boot_by_shim_and_grub(made: artifacts.Artifacts) -> None:
    async with way.opened("sb", made, firmwares=("uefi",), hardware=SECURE) as world:
        (machine,) = world.machines
        inventory = await inspected(world, machine, "pxe")
        assert inventory["boot"]["current_boot_mode"] == "uefi"
        assert "secureboot: Secure boot enabled" in way.console(machine)


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
async def test_virtual_media(made: artifacts.Artifacts, firmware: str) -> None:
    hardware = {"bmc": "redfish", **({"secure_boot": True} if firmware == "uefi" else {})}
    async with way.opened(f"cd-{firmware}", made, firmwares=(firmware,), hardware=hardware) as world:
        (machine,) = world.machines
        inventory = await inspected(world, machine, "redfish-virtual-media")
        assert inventory["boot"]["current_boot_mode"] == firmware
        assert {"bios": "ISOLINUX", "uefi": "secureboot: Secure boot enabled"}[firmware] in way.console(machine)
        status = await world.rack(do="status")
        assert status["machines"][0]["media"] == "", "ejected"
        assert list((world.service.data / "media").iterdir()) == []


@pytest.mark.parametrize("boot_interface", ["http", "http-ipxe"])
async def test_uefi_http_boot(made: artifacts.Artifacts, boot_interface: str) -> None:
    hardware = {**REAL_CARD, "pxe": False, "secure_boot": boot_interface == "http"}
    async with way.opened(boot_interface, made, firmwares=("uefi",), memory_mb=768, hardware=hardware) as world:
        (machine,) = world.machines
        inventory = await inspected(world, machine, boot_interface)
        assert inventory["boot"]["current_boot_mode"] == "uefi"
        secure = "secureboot: Secure boot enabled" in way.console(machine)
        assert secure is (boot_interface == "http")
