"""One machine through aborts, a second deployment and a tear down, each phase booting the ramdisk anew."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from e2e import way
from ingot.cli.demo import artifacts, proof
from ingot.cli.demo.world import Machine, World

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(1500), pytest.mark.asyncio(loop_scope="module")]

MIB = 1 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(made: artifacts.Artifacts) -> AsyncGenerator[World]:
    """A machine with a BMC that answers; without fast track, so that no phase goes on with another's ramdisk."""
    async with way.opened("life", made, firmwares=("bios",), settings={"fast_track": "false"}) as opened:
        await way.enrol(opened, opened.machines[0])
        yield opened


def boots(machine: Machine) -> int:
    """How often the ramdisk's agent came up."""
    return way.console(machine).count("agent up")


async def make_available(world: World, machine: Machine) -> None:
    """By whatever way leads there from where an earlier test left the machine."""
    state = (await way.look(world, machine))["provision_state"]
    if state in {"active", "deploy failed"}:
        await way.ask(world, machine, "deleted")
        await way.reach(world, machine, "available")
        return
    if state == "clean failed":
        await way.ask(world, machine, "manage")
        await way.reach(world, machine, "manageable")
    if state != "available":
        await way.provide(world, machine)


async def stop_in(world: World, machine: Machine, waiting: str, failed: str) -> way.Json:
    """Abort while the machine boots its ramdisk; the node."""
    await way.reach(world, machine, waiting)

    async def is_on() -> bool:
        return await way.power(world, machine) == "on"

    await way.until(world, machine, "on", is_on)
    await way.ask(world, machine, "abort")
    node = await way.reach(world, machine, failed)
    assert await way.power(world, machine) == "off"
    return node


async def test_each_phase_boots_the_ramdisk(world: World) -> None:
    (machine,) = world.machines
    await way.ask(world, machine, "inspect")
    await way.reach(world, machine, "manageable")
    assert (boots(machine), await way.power(world, machine)) == (1, "off")


async def test_abort_of_a_cleaning(world: World) -> None:
    (machine,) = world.machines
    await way.ask(world, machine, "provide")
    node = await stop_in(world, machine, "clean wait", "clean failed")
    assert node["last_error"] == "flow.start_ramdisk: Aborted on request by demo. Start it again when ready."
    assert not node["maintenance"]
    await way.ask(world, machine, "manage")
    await way.reach(world, machine, "manageable")


async def test_abort_of_a_deployment(world: World) -> None:
    (machine,) = world.machines
    await make_available(world, machine)
    await way.start_deploy(world, machine, await proof.make_key(world.folder))
    node = await stop_in(world, machine, "wait call-back", "deploy failed")
    assert node["last_error"] == "deploy.deploy: Aborted on request by demo. Start it again when ready."


async def test_a_deployment_after_that_without_dnsmasq_for_a_moment(world: World) -> None:
    (machine,) = world.machines
    key = await proof.make_key(world.folder)
    before = boots(machine)
    pid_file = world.service.data / "dnsmasq" / "dnsmasq.pid"
    killed = int(pid_file.read_text())
    os.kill(killed, signal.SIGKILL)
    await way.start_deploy(world, machine, key)
    await way.reach(world, machine, "active")
    assert int(pid_file.read_text()) != killed
    assert boots(machine) == before + 1
    await proof.ask(world, machine, key)


async def test_tear_down_erases_the_disks_metadata(world: World) -> None:
    (machine,) = world.machines
    path = await way.disk(world, machine)
    if not head(path).strip(b"\0"):
        pytest.fail("nothing is deployed; run the whole file")
    await way.ask(world, machine, "deleted")
    node = await way.reach(world, machine, "available")
    assert (node["instance_info"], node["instance_uuid"], node["last_error"]) == ({}, None, None)
    assert await way.power(world, machine) == "off"
    assert not head(path).strip(b"\0")
    with path.open("rb") as file:
        file.seek(-MIB, os.SEEK_END)
        assert not file.read().strip(b"\0"), "the backup of the partition table is still there"


def head(path: Path) -> bytes:
    """The disk's first MiB."""
    with path.open("rb") as file:
        return file.read(MIB)
