"""The cable is pulled while the image is written: the run's reason says so within a minute, and recovers with it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import pytest

from e2e import way
from faults import catalogue
from ingot.cli import deployment
from ingot.cli.demo import artifacts, proof

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(900)]

SIZE, RATE = 96 << 20, 1 << 20


async def test_the_link_goes_down_in_the_middle_of_the_write(made: artifacts.Artifacts, tmp_path: Path) -> None:
    data = bytes(510) + b"\x55\xaa" + os.urandom(SIZE - 512)
    (tmp_path / "disk.raw").write_bytes(data)
    image = deployment.Image((tmp_path / "disk.raw").as_uri(), "sha256", hashlib.sha256(data).hexdigest())
    large = dataclasses.replace(made, image=image, image_folder=tmp_path)
    async with way.opened("link", large, firmwares=("bios",), hardware={"disk_write_rate": RATE}) as world:
        (machine,) = world.machines
        await way.enrol(world, machine, automated_clean=False)
        await way.provide(world, machine)
        await way.start_deploy(world, machine, await proof.make_key(world.folder))

        async def writing() -> bool:
            return "writing the image" in str((await way.run_of(world, machine))["progress"])

        await way.until(world, machine, "the image being written", writing, within=300)
        await world.rack(do="link", machine=machine.name, up=False)

        async def told() -> bool:
            reason = str((await way.run_of(world, machine))["reason"])
            return "it does not answer at https://" in reason and "look whether its link or its switch port" in reason

        await way.until(world, machine, "the cause told", told, within=60)
        catalogue.told("link-down", (await way.run_of(world, machine))["reason"], timed=False)
        await world.rack(do="link", machine=machine.name, up=True)

        async def answers() -> bool:
            return "does not answer" not in str((await way.run_of(world, machine))["reason"])

        await way.until(world, machine, "the agent heard again", answers, within=120)
