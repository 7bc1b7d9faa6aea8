"""What only the machine itself can find wrong: its disks, its network card."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from e2e import way
from faults import catalogue
from ingot.cli import deployment
from ingot.cli.demo import artifacts, proof
from ingot.cli.demo.world import World

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

DISK_GIB = 5.0
LOOK = "Look in its log (ingot node logs NODE) for what led to that, mend it, then start the operation again."


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> deployment.Image:
    """An image of six GiB without data."""
    path = tmp_path_factory.mktemp("wide") / "wide.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "6G"], check=True)
    return deployment.Image(path.as_uri(), "sha256", hashlib.sha256(path.read_bytes()).hexdigest())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(made: artifacts.Artifacts, wide: deployment.Image) -> AsyncGenerator[World]:
    """An available machine with a disk of five GiB."""
    folders = f"{Path(wide.source.removeprefix('file://')).parent},{made.image_folder}"
    wishes = {"disk_gib": DISK_GIB, "settings": {"image_dirs": folders}}
    async with way.opened("disks", made, firmwares=("bios",), **wishes) as opened:
        await way.enrol(opened, opened.machines[0], automated_clean=False)
        await way.provide(opened, opened.machines[0])
        yield opened


async def test_an_image_larger_than_the_disk(world: World, wide: deployment.Image) -> None:
    (machine,) = world.machines
    await way.start_deploy(world, machine, await proof.make_key(world.folder), wide)
    node = await way.reach(world, machine, "deploy failed")
    assert node["last_error"] == (
        "deploy.write_image: The ramdisk's agent failed execute_deploy_step: "
        f"The image has {6 << 30} bytes and the disk /dev/vda has {5 << 30}. Choose a larger disk. {LOOK}"
    )
    catalogue.told("disk-too-small", node["last_error"], timed=False)
    assert await way.power(world, machine) == "off"


async def test_no_disk_matches_the_hint(world: World) -> None:
    (machine,) = world.machines
    hint = [{"op": "add", "path": "/properties/root_device", "value": {"serial": "NOSUCHDISK"}}]
    await world.call("PATCH", f"/v1/nodes/{machine.name}", hint)
    await way.start_deploy(world, machine, await proof.make_key(world.folder))
    node = await way.reach(world, machine, "deploy failed")
    told = str(node["last_error"])
    begin = "deploy.write_image: The ramdisk's agent failed execute_deploy_step: "
    assert told.startswith(
        begin + "No disk fits the root device hints serial=NOSUCHDISK. Disks: /dev/vda 5.0 GiB serial "
    )
    assert told.endswith(f". Change the hints or the disks. {LOOK}")
    catalogue.told("disk-no-match", told, timed=False)
    assert await way.power(world, machine) == "off"


async def test_after_its_failures_the_machine_can_be_deployed(world: World) -> None:
    (machine,) = world.machines
    key = await proof.make_key(world.folder)
    node = await way.look(world, machine)
    if "root_device" in node["properties"]:
        patch = [{"op": "remove", "path": "/properties/root_device"}]
        await world.call("PATCH", f"/v1/nodes/{machine.name}", patch)
    await way.start_deploy(world, machine, key)
    await way.reach(world, machine, "active")
    await proof.ask(world, machine, key)
