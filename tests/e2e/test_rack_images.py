"""Two machines that get one image at once: converted once, and its chunks handed on from one to the other."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from e2e import way
from ingot.cli import deployment
from ingot.cli.demo import artifacts, proof

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(1200)]

MORE = 200 << 20  # bytes behind the small image, so that writing takes a while


def larger(source: Path, target: Path) -> deployment.Image:
    """The small image with more data behind it, as a raw file."""
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(source), str(target)], check=True)
    with target.open("ab") as file:
        for _ in range(MORE >> 20):
            file.write(os.urandom(1 << 20))
    with target.open("rb") as file:
        return deployment.Image(target.as_uri(), "sha256", hashlib.file_digest(file, "sha256").hexdigest())


async def test_two_machines_share_an_image(made: artifacts.Artifacts, tmp_path: Path) -> None:
    source = Path(made.image.source.removeprefix("file://"))
    image = await asyncio.to_thread(larger, source, tmp_path / "larger.raw")
    settings = {"image_dirs": f"{made.image_folder},{tmp_path}"}
    async with way.opened("share", made, firmwares=("bios", "bios"), settings=settings) as world:
        key = await proof.make_key(world.folder)
        for machine in world.machines:
            await way.enrol(world, machine)
        for machine in world.machines:
            await way.ask(world, machine, "provide")
        for machine in world.machines:
            await way.reach(world, machine, "available")
        for machine in world.machines:
            await way.start_deploy(world, machine, key, image)
        for machine in world.machines:
            await way.reach(world, machine, "active")
            said = await proof.ask(world, machine, key)
            assert said.startswith(f"Linux {machine.name} ")
        told = [way.console(machine) for machine in world.machines]
        assert any("chunks came from other machines" in one for one in told), told[0][-3000:]
