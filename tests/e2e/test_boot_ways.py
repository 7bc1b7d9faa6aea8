"""One machine per way to boot: until its ramdisk has reported, which every deployment begins with."""

from __future__ import annotations

import pytest

from e2e import way
from ingot.cli.demo import artifacts
from ingot.cli.demo.world import Machine, World

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]

REAL_CARD = {"nic_rom": False}
SECURE = {**REAL_CARD, "secure_boot": True}


async def inspected(world: World, machine: Machine, boot_interface: str) -> way.Json:
    """Inspect by booting the ramdisk this way; the inventory."""
    await way.enrol(world, machine, boot_interface=boot_interface)
    await way.ask(world, machine, "inspect")
    await way.reach(world, machine, "manageable")
    found: way.Json = (await world.call("GET", f"/v1/nodes/{machine.name}/inventory"))["inventory"]
    return found


def served(world: World, name: str) -> bool:
    """Whether dnsmasq logged that it sent a file of this name."""
    return any("sent" in line and name in line for line in world.service.log.read_text().splitlines())


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
