"""A mirror of two disks, made by a cleaning step and deployed to: the machine starts from either disk."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from e2e import test_partition_images, way
from ingot.cli.demo import artifacts, proof
from ingot.cli.demo.world import Machine, World

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(1200)]

MIRROR = {"logical_disks": [{"controller": "software", "raid_level": "1", "size_gb": "MAX"}]}
HARDWARE = {"disks": 2, "disk_gib": 6.0}
COPIED = "the EFI system partition of /dev/md0 copied to /dev/vda, /dev/vdb"
STARTED = "tiny: ssh is ready"


async def started(world: World, machine: Machine, times: int) -> None:
    """The small system, which lies in the EFI system partition alone, has said so this often."""

    async def said() -> bool:
        return way.console(machine).count(STARTED) == times

    await way.until(world, machine, f"started {times} times", said, within=300)


async def mirrored(world: World, machine: Machine) -> None:
    """The machine with a mirror, ready to be deployed."""
    await way.enrol(world, machine, automated_clean=False, raid_interface="agent")
    await world.call("PUT", f"/v1/nodes/{machine.name}/states/raid", MIRROR)
    steps = [{"interface": "raid", "step": "create_configuration"}]
    await way.ask(world, machine, "clean", clean_steps=steps)
    node = await way.reach(world, machine, "manageable")
    assert node["raid_config"]["logical_disks"] == MIRROR["logical_disks"]
    await way.provide(world, machine)


async def test_it_starts_from_either_disk(made: artifacts.Artifacts) -> None:
    async with way.opened("mirror", made, firmwares=("uefi",), hardware=HARDWARE) as world:
        (machine,) = world.machines
        await mirrored(world, machine)
        await way.start_deploy(world, machine, await proof.make_key(world.folder))
        await way.reach(world, machine, "active")
        assert COPIED in way.console(machine)
        await started(world, machine, 1)

        path = f"/v1/nodes/{machine.name}/states/power"
        await world.call("PUT", path, {"target": "power off"})

        async def off() -> bool:
            return await way.power(world, machine) == "off"

        await way.until(world, machine, "off", off, within=120)
        destroy(await way.disk(world, machine))
        await world.call("PUT", path, {"target": "power on"})
        await started(world, machine, 2)

        await way.ask(world, machine, "deleted")
        await way.reach(world, machine, "available")
        await way.ask(world, machine, "manage")
        await way.reach(world, machine, "manageable")
        await way.ask(world, machine, "clean", clean_steps=[{"interface": "raid", "step": "delete_configuration"}])
        node = await way.reach(world, machine, "manageable")
        assert (node["raid_config"], node["last_error"]) == ({}, None)
        for disk in (await world.rack(do="status"))["machines"][0]["disks"]:
            with Path(disk).open("rb") as file:
                assert not file.read(1 << 20).strip(b"\0"), "a partition table is left"


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
async def test_a_partition_images_own_grub_reads_the_array(
    made: artifacts.Artifacts, tmp_path: Path, firmware: str
) -> None:
    """Its kernel lies in the root file system, which lies in the array alone."""
    loader = {"bios": "bios", "uefi": "uefi-grub"}[firmware]
    image = await asyncio.to_thread(test_partition_images.image, made, tmp_path, loader)
    wishes = {"firmwares": (firmware,), "hardware": HARDWARE, "settings": {"image_dirs": str(tmp_path)}}
    async with way.opened(f"mirror-{firmware}", made, **wishes) as world:
        (machine,) = world.machines
        await mirrored(world, machine)
        info = {"image_type": "partition", "root_gb": 1}
        patch = [{"op": "add", "path": f"/instance_info/{name}", "value": value} for name, value in info.items()]
        await world.call("PATCH", f"/v1/nodes/{machine.name}", patch)
        await way.start_deploy(world, machine, await proof.make_key(world.folder), image)
        await way.reach(world, machine, "active")
        assert firmware == "bios" or COPIED in way.console(machine)
        await started(world, machine, 1)


def destroy(disk: Path) -> None:
    """All its bytes are gone."""
    size = disk.stat().st_size
    os.truncate(disk, 0)
    os.truncate(disk, size)
