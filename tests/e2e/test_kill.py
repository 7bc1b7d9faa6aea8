"""`ingot serve` dies by SIGKILL in the middle of a real deployment: it goes on by itself and does nothing twice."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from e2e import way
from ingot.cli import deployment
from ingot.cli.demo import artifacts, proof
from ingot.cli.demo.world import Machine, World

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

FILLING = 640 << 20
Moment = Callable[[World, Machine], Awaitable[bool]]


def large_image(small: Path, folder: Path) -> deployment.Image:
    """The tiny image with bytes behind it that cannot be skipped, so that writing takes long enough to be cut."""
    path = folder / "large.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(small), str(path)], check=True)
    with path.open("ab") as file:
        for _ in range(FILLING >> 20):
            file.write(os.urandom(1 << 20))
    with path.open("rb") as file:
        return deployment.Image(path.as_uri(), "sha256", hashlib.file_digest(file, "sha256").hexdigest())


@pytest.fixture(scope="module")
def large(made: artifacts.Artifacts, tmp_path_factory: pytest.TempPathFactory) -> deployment.Image:
    return large_image(Path(made.image.source.removeprefix("file://")), tmp_path_factory.mktemp("large"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(made: artifacts.Artifacts, large: deployment.Image) -> AsyncGenerator[World]:
    """One enrolled and available machine; without cleaning, so that it is soon available again."""
    folder = str(Path(large.source.removeprefix("file://")).parent)
    async with way.opened("kill", made, firmwares=("bios",), settings={"image_dirs": folder}) as opened:
        await way.enrol(opened, opened.machines[0], automated_clean=False)
        await way.provide(opened, opened.machines[0])
        # A BMC that takes its time, as real ones do: else a deployment is over before its last moment can be met.
        await opened.rack(do="faults", machine=opened.machines[0].name, set={"power_seconds": 4.0})
        yield opened


async def ramdisk_boots(world: World, machine: Machine) -> bool:
    """Its kernel runs, its agent has not called yet."""
    seen = "Linux version" in way.console(machine) or "iPXE" in way.console(machine)
    return seen and (await way.look(world, machine))["provision_state"] == "wait call-back"


async def image_is_written(world: World, machine: Machine) -> bool:
    """Some of it is on the disk, most is not."""
    bar: way.Json = (await way.run_of(world, machine)).get("progress") or {}
    return bar.get("phase") == "writing the image" and 0 < int(bar["done"]) < FILLING


async def image_was_written(world: World, machine: Machine) -> bool:
    """The agent said so a moment ago."""
    return "deploy.execute_deploy_step succeeded" in way.console(machine)


@pytest.mark.parametrize("moment", [ramdisk_boots, image_is_written, image_was_written])
async def test_a_deployment_survives_the_death_of_its_conductor(
    world: World, large: deployment.Image, moment: Moment
) -> None:
    (machine,) = world.machines
    key = await proof.make_key(world.folder)
    machine.serial_log.write_bytes(b"")
    await way.start_deploy(world, machine, key, large)
    await way.until(world, machine, moment.__name__, lambda: moment(world, machine))
    assert (await way.run_of(world, machine))["status"] == "open"
    await world.service.kill()
    await world.restart()
    node = await way.reach(world, machine, "active")
    assert node["last_error"] is None
    await proof.ask(world, machine, key)

    console = way.console(machine)
    assert console.count("writing the image to") == 1, console
    assert console.count("agent up") == 1, "the machine was booted twice"
    await way.ask(world, machine, "deleted")
    await way.reach(world, machine, "available")
    assert await way.power(world, machine) == "off"
