"""Half of each: upstream's conductor with ingot's ramdisk, ingot's conductor with upstream's agent, both unchanged."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from e2e import way
from ingot.cli.demo import artifacts, proof
from ingot.cli.demo.world import Blueprint
from upstream import ramdisk, service

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(1800)]
MEMORY = 2048  # upstream's agent needs more than a gigabyte


@pytest.mark.parametrize(("firmware", "disk_format"), [("bios", "raw"), ("uefi", "raw"), ("bios", "qcow2")])
async def test_upstreams_conductor_deploys_with_our_ramdisk(
    tmp_path: Path, made: artifacts.Artifacts, firmware: str, disk_format: str
) -> None:
    """qcow2 goes to the agent as it is, from a web server that knows no ranges."""
    blueprint = Blueprint(f"upstream-{firmware}", firmwares=(firmware,), memory_mb=512)
    image = await service.with_raw_image(made, tmp_path) if disk_format == "raw" else made
    async with service.Upstream(blueprint, image) as upstream:
        (machine,) = upstream.machines
        await upstream.enrol(machine)
        await upstream.ask(machine, "provide")
        await upstream.reach(machine, "available", 600)
        key = await proof.make_key(upstream.folder)
        await upstream.deploy(machine, key)
        said = await proof.ask(upstream, machine, key)
        assert said.startswith(f"Linux {machine.name} ")


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
async def test_our_conductor_drives_upstreams_agent(made: artifacts.Artifacts, firmware: str) -> None:
    theirs = replace(made, ramdisk=(await asyncio.to_thread(ramdisk.build)).folder)
    settings = {"kernel_params": "console=ttyS0,115200n8 ipa-insecure=1"}  # it takes no CA by kernel parameter
    wishes = {"firmwares": (firmware,), "memory_mb": MEMORY, "settings": settings}
    async with way.opened(f"agent-{firmware}", theirs, **wishes) as world:
        (machine,) = world.machines
        key = await proof.make_key(world.folder)
        await way.enrol(world, machine)
        await way.ask(world, machine, "inspect")
        node = await way.reach(world, machine, "manageable")
        assert node["properties"]["memory_mb"] == MEMORY
        told = (await world.call("GET", f"/v1/nodes/{machine.name}"))["driver_internal_info"]
        assert told["agent_version"] == "13.0.0", json.dumps(told)
        await way.provide(world, machine)
        await way.start_deploy(world, machine, key)
        await way.reach(world, machine, "active")
        said = await proof.ask(world, machine, key)
        assert said.startswith(f"Linux {machine.name} ")
