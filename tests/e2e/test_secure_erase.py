"""A node is cleaned by its disk's own erase, and its conductor is killed in the middle of it: the disk erases once."""

from __future__ import annotations

import concurrent.futures
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from agent import disk_peers
from e2e import way
from faults import catalogue
from ingot.cli.demo import artifacts
from ingot.cli.demo.world import World
from ingot_rack import network
from ingot_rack.disks import ata, iscsi, media

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]
_PORT = 3260
_ERASE = [{"interface": "deploy", "step": "erase_devices"}]
_BEGUN = ["SECURITY SET PASSWORD", "SECURITY ERASE PREPARE", "(erase begins)"]
_WHOLE = [*_BEGUN, "SECURITY ERASE UNIT enhanced"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(made: artifacts.Artifacts) -> AsyncGenerator[World]:
    """A manageable machine; its second disk is an iSCSI disk at a port that nobody listens at yet."""
    hardware = {"scsi_disk": f"iscsi://127.0.0.1:{_PORT}/{disk_peers.NAME}/0"}
    async with way.opened("erase", made, firmwares=("bios",), disk_gib=5.0, hardware=hardware) as opened:
        own = {"skip_block_devices": [{"name": "/dev/vda"}]}
        await way.enrol(opened, opened.machines[0], automated_clean=False, properties=own)
        yield opened


def _listener(namespace: str) -> socket.socket:
    """A socket within the rack's network, made by a thread that goes there and ends."""

    def make() -> socket.socket:
        network.Network("", namespace).enter()
        return socket.create_server(("127.0.0.1", _PORT))

    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        return threads.submit(make).result(10)


async def _clean(world: World, drive: ata.Drive) -> None:
    (machine,) = world.machines
    await way.ask(world, machine, "clean", clean_steps=_ERASE)

    async def begun() -> bool:
        return "(erase begins)" in drive.log or (await way.look(world, machine))["provision_state"] == "clean failed"

    await way.until(world, machine, "the erase", begun)


async def _failure(world: World) -> str:
    """Why the machine's cleaning failed."""
    (machine,) = world.machines
    await way.ask(world, machine, "clean", clean_steps=_ERASE)
    return str((await way.reach(world, machine, "clean failed"))["last_error"])


async def test_a_killed_conductor_does_not_have_a_disk_erase_twice(world: World, tmp_path: Path) -> None:
    (machine,) = world.machines
    disk = disk_peers.sata(tmp_path, "PEER", seconds=20.0)
    assert disk.drive is not None
    async with iscsi.Target(disk_peers.NAME, {0: disk}, _listener(world.prefix[-1])):
        await _clean(world, disk.drive)
        await world.service.kill()
        assert disk.drive.log == _BEGUN, "the conductor dies in the middle"
        await world.restart()
        await way.reach(world, machine, "manageable")
        assert disk.drive.log == _WHOLE
        assert disk.drive.password is None
        assert not disk_peers.holds_data(disk.media)
        disk.media.write(4096, disk_peers.LEFT)
        disk.drive.log.clear()
        disk.drive.fault = ata.Fault.ABORTS
        catalogue.told("disk-erase-refused", await _failure(world), timed=False)
        assert disk.drive.password is None
        assert disk_peers.holds_data(disk.media)
        disk.drive.supported = False
        disk.media.dead.add((9 << 20) // media.BLOCK)
        await world.call("DELETE", f"/v1/nodes/{machine.name}/maintenance")
        await way.ask(world, machine, "manage")
        await way.reach(world, machine, "manageable")
        catalogue.told("disk-dead-sector", await _failure(world), timed=False)
