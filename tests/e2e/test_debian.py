"""A UEFI machine with a Redfish BMC gets a real distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e import way
from ingot.cli.demo import proof

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(1500)]


async def test_a_uefi_machine_becomes_a_debian_system(tmp_path: Path) -> None:
    made = await way.built(tmp_path / "ramdisk", "debian")
    async with way.opened("debian", made, firmwares=("uefi",), memory_mb=1024) as world:
        (machine,) = world.machines
        key = await proof.make_key(world.folder)
        await way.enrol(world, machine)
        await way.ask(world, machine, "inspect")
        node = await way.reach(world, machine, "manageable")
        assert (node["boot_mode"], node["properties"]["memory_mb"]) == ("uefi", 1024)
        await way.provide(world, machine)
        await way.start_deploy(world, machine, key)
        node = await way.reach(world, machine, "active")
        assert (node["power_state"], node["last_error"]) == ("power on", None)

        said = await proof.ask(world, machine, key)
        assert said.startswith(f"Linux {machine.name} ")
        assert "/sys/firmware/efi" in await way.inside(world, machine, key, "ls -d /sys/firmware/efi")
        assert "starts \\EFI\\" in way.console(machine), "the agent made no boot entry"
        keys = await way.inside(world, machine, key, "cat ~/.ssh/authorized_keys")
        assert keys.strip().endswith(key.public)
        root = await way.inside(world, machine, key, "df -BM --output=size / | tail -n 1")
        assert int(root.strip().removesuffix("M")) > 7000, "the root file system does not fill the disk"
