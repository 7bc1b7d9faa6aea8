"""Looking up one row on a server: alone without a task, many together, and what becomes of a connection meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from ingot.domain import errors, ids, node
from ingot.store import nodes
from ingot.store.engine import Store
from servers.databases import KINDS, Databases

pytestmark = pytest.mark.slow
each_server = pytest.mark.parametrize("kind", KINDS)


@asynccontextmanager
async def filled(databases: Databases, kind: str, patience: float = 15.0) -> AsyncGenerator[tuple[Store, list[str]]]:
    """A store with nodes, which knows the statement that finds one and has a connection that is idle."""
    store = Store(databases.empty(kind), patience)
    uuids = [ids.new() for _ in range(32)]
    await asyncio.gather(*(store.run(create, uuid) for uuid in uuids))
    for _ in range(3):
        await store.peek(nodes.get, uuids[0])
    yield store, uuids
    store.close()


def create(connection: Connection, uuid: str) -> None:
    nodes.create(connection, node.Node(uuid=uuid, driver="fake-hardware"), None)


async def found(store: Store, uuids: list[str]) -> list[str]:
    """The nodes that are given to callers who all ask at once."""
    return [one.uuid for one in await asyncio.gather(*(store.peek(nodes.get, uuid) for uuid in uuids))]


@each_server
async def test_who_is_alone_is_served_in_the_same_task(databases: Databases, kind: str) -> None:
    async with filled(databases, kind) as (store, uuids):
        made: list[Any] = []

        def factory(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
            made.append(work)
            return asyncio.Task(work, loop=loop, **more)

        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        for uuid in uuids[:5]:
            assert (await store.peek(nodes.get, uuid)).uuid == uuid
        with pytest.raises(errors.NotFound):
            await store.peek(nodes.get, ids.new())
        loop.set_task_factory(None)
        assert made == []


@each_server
async def test_each_of_many_is_given_what_he_asked_for(databases: Databases, kind: str) -> None:
    async with filled(databases, kind) as (store, uuids):
        for _ in range(20):
            assert await found(store, uuids) == uuids
        assert await asyncio.gather(*(store.peek(two, uuid) for uuid in uuids)) == [[uuid, uuids[0]] for uuid in uuids]


def two(connection: Connection, uuid: str) -> list[str]:
    """More than a look-up is meant for, which works all the same."""
    first = connection.execute(nodes.nodes.select().order_by(nodes.nodes.c.id).limit(1)).first()
    assert first is not None
    return [nodes.get(connection, uuid).uuid, first.uuid]


@each_server
async def test_who_goes_away_leaves_no_answer_to_the_next(databases: Databases, kind: str) -> None:
    async with filled(databases, kind) as (store, uuids):
        for turn in range(60):
            leaving = asyncio.ensure_future(store.peek(nodes.get, uuids[0]))
            staying = asyncio.ensure_future(found(store, uuids[1 : 1 + turn % 4]))
            for _ in range(turn % 5):
                await asyncio.sleep(0)
            leaving.cancel()
            assert (await store.peek(nodes.get, uuids[9])).uuid == uuids[9]
            assert await staying == uuids[1 : 1 + turn % 4]


@each_server
async def test_a_connection_that_was_cut_while_it_was_idle_is_replaced(databases: Databases, kind: str) -> None:
    async with filled(databases, kind) as (store, uuids):
        for heard in (0.0, 0.3):  # of its end: not yet, and before the next look
            await asyncio.to_thread(databases.server(kind).cut_connections)
            await asyncio.sleep(heard)
            assert (await store.peek(nodes.get, uuids[3])).uuid == uuids[3]
        assert await found(store, uuids) == uuids


@each_server
async def test_a_server_that_says_nothing_is_told_to_all_who_wait(databases: Databases, kind: str) -> None:
    async with filled(databases, kind, 1) as (store, uuids):
        await asyncio.sleep(1)  # that others have looked up before costs nobody of the time
        async with stopped(databases.server(kind).pid):
            began = time.monotonic()
            told = await asyncio.gather(*(store.peek(nodes.get, uuid) for uuid in uuids), return_exceptions=True)
            assert 1.9 < time.monotonic() - began < 3.7  # twice the patience, and not as long again
        assert [type(one) for one in told] == [errors.StoreDown] * len(uuids)
        assert "it does not answer" in str(told[0])
        assert await found(store, uuids) == uuids


@asynccontextmanager
async def stopped(pid: int) -> AsyncGenerator[None]:
    """The processes of a server do nothing."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    processes = [pid, *map(int, children)]
    for each in processes:
        os.kill(each, signal.SIGSTOP)
    try:
        async with asyncio.timeout(10):
            while not all(stands(each) for each in processes):
                await asyncio.sleep(0.01)
        yield
    finally:
        for each in processes:
            os.kill(each, signal.SIGCONT)


def stands(pid: int) -> bool:
    """Whether the signal has reached each thread."""
    return all(" T " in one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/stat"))


@each_server
async def test_a_value_that_the_database_cannot_hold_is_told_as_by_others(databases: Databases, kind: str) -> None:
    async with filled(databases, kind) as (store, uuids):
        wrong = "no letter: \ud800" if kind == "mariadb" else "nul: \0"
        wanted = UnicodeEncodeError if kind == "mariadb" else errors.Invalid
        for use in (store.peek, store.read):
            with pytest.raises(wanted):
                await use(nodes.get, wrong)
        assert await found(store, uuids[:1]) == uuids[:1]


@each_server
async def test_an_event_loop_that_ends_meanwhile_leaves_nothing_open(databases: Databases, kind: str) -> None:
    async with filled(databases, kind) as (store, uuids):

        async def leaving() -> None:
            for _ in range(3):
                await store.peek(nodes.get, uuids[0])
            asking = asyncio.ensure_future(store.peek(nodes.get, uuids[1]))
            await asyncio.sleep(0)
            assert not asking.done()

        for _ in range(3):
            await asyncio.to_thread(lambda: asyncio.run(leaving()))
        assert await found(store, uuids) == uuids
