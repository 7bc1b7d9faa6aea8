"""Faults of the controller itself, on a real `ingot serve`: killed at random, disk full, database held by another.

Nothing that was accepted may be lost, the true cause is said, and the service goes on when the fault ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
import subprocess
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import stand
from faults import catalogue
from flows import stand as memory
from ingot.cli import client as api
from ingot.cli.demo import service
from ingot.domain import errors

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MIB = 1 << 20
NODES = 6


class Site:
    """A running service with imaginary machines."""

    def __init__(self, running: service.Service, client: api.Client, effects: Path) -> None:
        self.service, self.client, self.effects = running, client, effects
        self.uuids: list[str] = []

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        return await asyncio.to_thread(self.client.call, method, path, body)

    async def add_nodes(self, count: int, **info: Any) -> None:
        """Nodes that are available; ``info``: their driver_info."""
        for _ in range(count):
            body = {"driver": "fake-hardware", "driver_info": info, "automated_clean": False}
            made = await self.call("POST", "/v1/nodes", body)
            self.uuids.append(made["uuid"])
            for verb, state in (("manage", "manageable"), ("provide", "available")):
                await self.ask(made["uuid"], verb)
                await self.until(lambda uuid=made["uuid"], state=state: self.is_in(state, uuid))

    async def ask(self, uuid: str, verb: str) -> None:
        await self.call("PUT", f"/v1/nodes/{uuid}/states/provision", {"target": verb})

    async def is_in(self, state: str, *uuids: str) -> bool:
        found = [await self.call("GET", f"/v1/nodes/{uuid}/states") for uuid in uuids or self.uuids]
        bad = [one["last_error"] for one in found if "failed" in one["provision_state"]]
        assert not bad, bad
        return all(one["provision_state"] == state for one in found)

    async def until(self, condition: Callable[[], Awaitable[bool]], within: float = 90.0) -> None:
        deadline = time.monotonic() + within
        while True:
            with contextlib.suppress(errors.Unreachable):
                if await condition():
                    return
            assert time.monotonic() < deadline, self.service.tail()
            await asyncio.sleep(0.1)

    def written(self) -> list[int]:
        """How often each machine's image was written."""
        return [memory.effects(self.effects.parent, uuid).count("image written") for uuid in self.uuids]


@contextlib.asynccontextmanager
async def opened(folder: Path, effects: Path) -> AsyncGenerator[Site]:
    port = stand.free_port()
    settings = {"host": "127.0.0.1", "port": str(port), "noauth": "true", "power_sync_interval": "0"}
    running = service.Service(folder, [], {**settings, "fake_effects": str(effects / "effects"), "lease": "3"})
    client = api.Client(f"http://127.0.0.1:{port}", None, None, 60.0)
    try:
        await running.start()
        await running.wait_ready(client)
        yield Site(running, client, effects / "effects")
    finally:
        await running.stop()


async def test_killed_at_random_instants_it_loses_nothing_and_writes_no_image_twice(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    print("seed", seed)
    async with opened(tmp_path, tmp_path) as site:
        await site.add_nodes(NODES, fake_delay=0.15)
        for uuid in site.uuids:
            await site.ask(uuid, "active")
        for _ in range(6):
            await asyncio.sleep(dice.uniform(0.05, 0.6))
            await site.service.kill()
            await site.service.start()
            await site.service.wait_ready(site.client)
        await site.until(lambda: site.is_in("active"))
        assert site.written() == [1] * NODES


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take every byte that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * (64 << 10))
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x")
    return filler


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system needs root")
async def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_space(small_disk: Path, tmp_path: Path) -> None:
    async with opened(small_disk, tmp_path) as site:
        await site.add_nodes(2, fake_delay=0.4)
        for uuid in site.uuids:
            await site.ask(uuid, "active")
        filler = await asyncio.to_thread(fill, small_disk)
        with pytest.raises(errors.IngotError, match="Free space on its disk") as caught:
            for _ in range(200):  # what the file has room for is still taken
                await site.call("POST", "/v1/nodes", {"driver": "fake-hardware", "extra": {"much": "x" * 60_000}})
        catalogue.told("disk-full", caught.value.sentence())
        assert (await site.call("GET", f"/v1/nodes/{site.uuids[0]}"))["uuid"] == site.uuids[0], "reading goes on"
        filler.unlink()
        await site.until(lambda: site.is_in("active"))
        assert site.written() == [1, 1]
        assert site.service.pid is not None, "the service must not have died of it"


@contextlib.contextmanager
def held(database: Path) -> Iterator[None]:
    """Somebody else's program holds the database for writing."""
    connection = sqlite3.connect(database, isolation_level=None, timeout=10)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


async def test_a_database_that_another_holds_delays_work_and_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path, tmp_path) as site:
        await site.add_nodes(2, fake_delay=0.2)
        first, second = site.uuids
        await site.ask(first, "active")
        with held(site.service.data / "ingot.db"):
            with pytest.raises(errors.IngotError, match="Another program holds the database: end it") as caught:
                await site.ask(second, "active")
            catalogue.told("database-held", caught.value.sentence())
            assert (await site.call("GET", f"/v1/nodes/{second}"))["provision_state"] == "available"
        await site.ask(second, "active")
        await site.until(lambda: site.is_in("active"))
        assert site.written() == [1, 1]
