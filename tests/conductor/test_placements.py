"""No node is given to two allocations: 64 clients over HTTP, and a service that is killed while they ask."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import signal
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cli import program
from flows import stand
from ingot.deps import Deps
from ingot.domain import ids, states

pytestmark = [pytest.mark.torture, pytest.mark.timeout(120)]

CLIENTS = 64
NODES = 200
EACH = 6
HEADERS = {"X-OpenStack-Ironic-API-Version": "1.115"}


class Service:
    """`ingot serve` that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = program.free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        words = ("serve", "--noauth", "--data-dir", str(self._folder), "--port", str(self._port))
        with (self._folder / "serve.log").open("ab") as output:
            self._child = await asyncio.create_subprocess_exec(
                *program.ingot_argv(*words), stdout=output, stderr=output, env=program.environment()
            )

    async def end(self, how: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(how)
        async with asyncio.timeout(20):
            await self._child.wait()


@contextlib.asynccontextmanager
async def fleet(folder: Path) -> AsyncGenerator[Service]:
    """A service over free nodes of one class, each with one of two traits."""
    async with stand.site(folder) as deps:
        await asyncio.gather(*(free_node(deps, number) for number in range(NODES)))
    service = Service(folder)
    await service.start()
    try:
        yield service
    finally:
        await service.end(signal.SIGTERM)


async def free_node(deps: Deps, number: int) -> None:
    fields = {"name": f"n{number}", "resource_class": "gold", "power_state": "power off"}
    uuid = await stand.add_node(deps, states.State.AVAILABLE, **fields)
    await deps.store.run(stand.nodes.set_traits, uuid, ("CUSTOM_EVEN" if number % 2 == 0 else "CUSTOM_ODD",))


class Client:
    """One tenant: asks for nodes, gives some back, and goes on when nobody answers."""

    def __init__(self, session: aiohttp.ClientSession, url: str, seed: int) -> None:
        self._session, self._url, self._chance = session, url, random.Random(seed)

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send until there is an answer: a call whose answer was lost is sent again."""
        while True:
            try:
                async with self._session.request(method, f"{self._url}{path}", json=body, headers=HEADERS) as answer:
                    return answer.status, await answer.json() if answer.status not in {204, 202} else None
            except (aiohttp.ClientError, ConnectionError, TimeoutError):
                await asyncio.sleep(0.05)

    async def work(self) -> None:
        for _ in range(EACH):
            uuid = ids.new()
            wanted: dict[str, Any] = {"uuid": uuid, "resource_class": "gold"}
            if self._chance.random() < 0.5:
                wanted["traits"] = [self._chance.choice(("CUSTOM_EVEN", "CUSTOM_ODD"))]
            status, _ = await self.call("POST", "/v1/allocations", wanted)
            assert status in {201, 409}, status
            found = await self.settled(uuid)
            if self._chance.random() < 0.3:
                status, _ = await self.call("DELETE", f"/v1/allocations/{uuid}")
                assert status in {204, 404}, (status, found)

    async def settled(self, uuid: str) -> dict[str, Any]:
        while True:
            status, found = await self.call("GET", f"/v1/allocations/{uuid}")
            assert status == 200, found
            if found["state"] != "allocating":
                return found
            await asyncio.sleep(0.05)


async def tenants(url: str) -> None:
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(10)) as session,
        asyncio.timeout(90),
        asyncio.TaskGroup() as group,
    ):
        for number in range(CLIENTS):
            group.create_task(Client(session, url, number).work())


async def newest(folder: Path, number: int) -> None:
    """Until the number-th allocation has come."""
    with contextlib.closing(sqlite3.connect(folder / "ingot.db")) as database:
        while (database.execute("select max(id) from allocations").fetchone()[0] or 0) < number:
            await asyncio.sleep(0.005)


def assert_consistent(folder: Path) -> dict[str, int]:
    """Every placement is told alike by both tables; how many allocations are in each state."""
    with contextlib.closing(sqlite3.connect(folder / "ingot.db")) as database:
        allocations = database.execute("select uuid, state, node_uuid, traits from allocations").fetchall()
        nodes = database.execute("select uuid, instance_uuid, allocation_uuid from nodes").fetchall()
        traits = dict(database.execute("select node_uuid, trait from node_traits").fetchall())
    held = {uuid: instance for uuid, instance, allocation in nodes if instance or allocation}
    active = {node: uuid for uuid, state, node, _ in allocations if state == "active"}
    assert held == active
    assert all(instance == allocation for _, instance, allocation in nodes)
    assert all(traits[node] in wanted for _, state, node, wanted in allocations if state == "active" and wanted != "[]")
    assert len(active) == sum(state == "active" for _, state, _, _ in allocations), "a node has two allocations"
    return dict(collections.Counter(state for _, state, _, _ in allocations))


async def test_64_clients_never_share_a_node(tmp_path: Path) -> None:
    async with fleet(tmp_path) as service:
        await tenants(service.url)
    counts = assert_consistent(tmp_path)
    assert counts["active"] >= NODES - NODES // 10
    assert "allocating" not in counts


async def test_what_a_killed_service_leaves_is_placed_by_the_next(tmp_path: Path) -> None:
    async with fleet(tmp_path) as service:
        work = asyncio.create_task(tenants(service.url))
        for pause in (2.5, 1.2, 1.5):
            await asyncio.sleep(pause)
            await service.end(signal.SIGKILL)
            assert_consistent(tmp_path)
            await service.start()
        await work
    counts = assert_consistent(tmp_path)
    assert counts["active"] >= NODES - NODES // 10
    assert "allocating" not in counts


async def test_a_row_left_allocating_is_taken_up_at_the_start(tmp_path: Path) -> None:
    async with fleet(tmp_path) as service:
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "ingot.db")) as database:
        uuid = ids.new()
        row = (uuid, "allocating", "gold", '["CUSTOM_ODD"]', "[]", "2026-01-01T00:00:00.000000+00:00")
        columns = "uuid, state, resource_class, traits, candidate_nodes, created_at"
        database.execute(f"insert into allocations ({columns}) values (?, ?, ?, ?, ?, ?)", row)
        database.commit()
    await service.start()
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            assert (await Client(session, service.url, 0).settled(uuid))["state"] == "active"
    finally:
        await service.end(signal.SIGTERM)
    assert assert_consistent(tmp_path) == {"active": 1}
