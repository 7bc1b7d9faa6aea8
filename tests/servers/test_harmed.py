"""What is done to databases and rings while machines are deployed: all work ends, and no disk is written twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest

from faults import catalogue
from flows import stand
from ingot.deps import Deps
from ingot.domain import errors, runs
from ingot.services import provisioning
from ingot.store import nodes, upgrade
from ingot.store.engine import Store
from servers.databases import KINDS, Databases

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
each_server = pytest.mark.parametrize("kind", KINDS)
MACHINES = 4
STOPPED = {"postgresql": "postgresql-stopped", "mariadb": "mariadb-stopped"}
READ_ONLY = {"postgresql": "postgresql-read-only", "mariadb": "mariadb-read-only"}


@contextlib.asynccontextmanager
async def deploying(folder: Path, **settings: Any) -> AsyncGenerator[tuple[Deps, list[str]]]:
    """Machines in the middle of their deployment; at the end each is active, its disk written once."""
    async with stand.site(folder, lease=2.0, **settings) as deps, stand.conductor(deps):
        uuids = [await stand.add_node(deps, driver_info={"fake_delay": 0.4}) for _ in range(MACHINES)]
        for uuid in uuids:
            await provisioning.request(deps, uuid, "active", {})
        await stand.until(lambda: all(stand.effects(folder, uuid) for uuid in uuids), 30)
        yield deps, uuids
        for uuid in uuids:
            run = await stand.ended(deps, uuid, 60)
            assert (run.status, run.reason) == (runs.Status.SUCCEEDED, None)
            assert stand.effects(folder, uuid).count("image written") == 1


async def refused(deps: Deps, uuid: str) -> str:
    """What a user is told who changes a node once nothing can be written: a server notices that a moment later."""

    async def tried() -> str | None:
        try:
            await deps.store.run(nodes.change, uuid, description="x")
        except errors.StoreDown as error:
            return error.sentence()
        return None

    return await stand.until(tried)


@each_server
async def test_a_database_that_is_read_only_for_a_while_stops_work_and_loses_none(
    databases: Databases, tmp_path: Path, kind: str
) -> None:
    server = databases.server(kind)
    async with deploying(tmp_path, database=databases.empty(kind)) as (deps, uuids):
        await asyncio.to_thread(server.let_write, allowed=False)
        try:
            said = await refused(deps, uuids[0])
            await asyncio.sleep(3)  # longer than a lease
            assert not [uuid for uuid in uuids if (await stand.get_node(deps, uuid)).last_error]
        finally:
            await asyncio.to_thread(server.let_write, allowed=True)
        catalogue.told(READ_ONLY[kind], said)


@each_server
async def test_a_database_server_that_is_stopped_is_named(databases: Databases, kind: str) -> None:
    """The node's row cannot tell of it then: who changes it is told, and once the server is back all goes on."""
    server = databases.server(kind)
    store = Store(databases.empty(kind), patience=1)
    try:
        assert await store.read(nodes.count) == 0
        await asyncio.to_thread(server.stop)
        try:
            with pytest.raises(errors.StoreDown) as found:
                await store.run(nodes.change, "n", description="x")
        finally:
            await asyncio.to_thread(server.start)
        assert await store.read(nodes.count) == 0
    finally:
        store.close()
    catalogue.told(STOPPED[kind], found.value.sentence())


@each_server
async def test_connections_that_are_cut_again_and_again_lose_no_work(
    databases: Databases, tmp_path: Path, kind: str
) -> None:
    server = databases.server(kind)
    async with deploying(tmp_path, database=databases.empty(kind)):
        for _ in range(10):
            await asyncio.to_thread(server.cut_connections)
            await asyncio.sleep(0.2)


async def test_rings_by_the_hundred_are_as_good_as_one(tmp_path: Path) -> None:
    async with deploying(tmp_path) as (deps, uuids):
        for _ in range(200):
            for uuid in uuids:
                deps.bus.ring(uuid)
            await asyncio.sleep(0.01)


@pytest.fixture
def open_folder() -> Generator[Path]:
    """One that any account can look into, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="ingot-", dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes an account that may not write")
async def test_a_file_that_may_not_be_written_is_told(open_folder: Path) -> None:
    where = open_folder / "ingot.db"
    upgrade.upgrade(where)
    where.chmod(0o444)
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        store = Store(where)
        try:
            with pytest.raises(errors.StoreDown) as found:
                await store.run(nodes.change, "n", description="x")
        finally:
            store.close()
    finally:
        os.seteuid(0)
    catalogue.told("sqlite-read-only", found.value.sentence())
