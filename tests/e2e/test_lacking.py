"""Machines that lack something: memory in the middle of the work, or any disk at all. The node's error says so."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import re
from pathlib import Path

import pytest

from cli import program
from e2e import way
from faults import catalogue
from flows import stand
from ingot.cli import deployment
from ingot.cli.demo import artifacts, proof
from ingot.cli.demo.world import Machine, World

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(900)]

SIZE, RATE = 64 << 20, 1 << 20
# Takes all memory as soon as the disk is written to, and gives it back when the kernel has ended the agent for it.
GREEDY = """#!/bin/sh
written() { busybox awk '$3 == "vda" { print $10 }' /proc/diskstats; }
hog() {
    until [ "$(written)" -gt 8192 ]; do sleep 0.2; done
    agent=$(busybox pidof python3)
    busybox mkdir -p /hog && mount -t tmpfs -o size=100% hog /hog
    (while :; do busybox dd if=/dev/zero of=/hog/$((count += 1)) bs=64k count=64 2>/dev/null; done) &
    while kill -0 $agent 2>/dev/null; do sleep 0.1; done
    kill $!
    umount -l /hog
}
hog &
"""


async def test_out_of_memory_in_the_middle_of_the_write(tmp_path: Path) -> None:
    start = tmp_path / "extra/root/etc/ingot/start.d/greedy"
    start.parent.mkdir(parents=True)
    start.write_text(GREEDY)
    start.chmod(0o755)
    made = await way.built(tmp_path / "ramdisk", "tiny", tmp_path / "extra")
    data = bytes(510) + b"\x55\xaa" + os.urandom(SIZE - 512)
    (tmp_path / "disk.raw").write_bytes(data)
    image = deployment.Image((tmp_path / "disk.raw").as_uri(), "sha256", hashlib.sha256(data).hexdigest())
    large = dataclasses.replace(made, image=image, image_folder=tmp_path)
    async with way.opened("oom", large, firmwares=("bios",), hardware={"disk_write_rate": RATE}) as world:
        (machine,) = world.machines
        await way.enrol(world, machine, automated_clean=False)
        await way.provide(world, machine)
        await way.start_deploy(world, machine, await proof.make_key(world.folder))
        node = await way.reach(world, machine, "deploy failed")
        told = str(node["last_error"])
        assert told.startswith("deploy.write_image: The ramdisk's agent ")
        assert "the machine ran out of memory and the kernel ended python3" in told
        catalogue.told("agent-out-of-memory", told, timed=False)
        assert re.search(r"Out of memory: Killed process \d+ \(python3\)", way.console(machine)), (
            "no true want of memory"
        )
        assert await way.power(world, machine) == "off"


async def test_no_disk_at_all(made: artifacts.Artifacts) -> None:
    async with way.opened("diskless", made, firmwares=("bios",), hardware={"disks": 0}) as world:
        (machine,) = world.machines
        await way.enrol(world, machine, automated_clean=False, console_interface="ipmi-sol")
        await way.provide(world, machine)
        await way.start_deploy(world, machine, await proof.make_key(world.folder))
        node = await way.reach(world, machine, "deploy failed")
        assert node["console_enabled"] is False, "what it says is kept though nobody switched it on"
        assert node["last_error"] == (
            "deploy.write_image: The ramdisk's agent failed execute_deploy_step: No disk of at least 4 GiB can take "
            "the image. Disks: none at all: the ramdisk lacks a driver, or there is none. Add one or give a hint. "
            "Look in its log (ingot node logs NODE) for what led to that, mend it, then start the operation again."
        )
        catalogue.told("no-disk", node["last_error"], timed=False)
        assert await way.power(world, machine) == "off"
        await its_logs_tell(world, machine)


async def its_logs_tell(world: World, machine: Machine) -> None:
    """What the ramdisk logged, and the console said, is kept with the failed run, by API and command line."""

    async def heard() -> bool:  # a log is on disk within a second of the words
        console = (await way.run_of(world, machine))["console"]
        return console is not None and "No disk of at least" in console["tail"]

    await stand.until(heard)
    run = await way.run_of(world, machine)
    kept: way.Json = await world.call("GET", f"/ingot/v1/nodes/{machine.name}/logs")
    assert kept["run"] == run["id"]
    assert any("No disk of at least" in text for text in kept["files"].values()), sorted(kept["files"])
    access = dict(re.findall(r"export (INGOT_\w+)=(\S+)", world.access.read_text()))
    user = {key: access[key] for key in ("INGOT_USER", "INGOT_PASSWORD")}
    told = await asyncio.to_thread(program.run_here, "node", "logs", machine.name, url=access["INGOT_URL"], **user)
    assert "No disk of at least" in told.output
    asked = await asyncio.to_thread(program.run_here, "node", "why", machine.name, url=access["INGOT_URL"], **user)
    summary, agent, console = asked.output.split("\n\n")
    assert "! deploy.write_image failed" in summary
    assert all("No disk of at least" in words for words in (summary, agent, console)), asked.output
