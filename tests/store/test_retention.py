"""How much of a node's past is kept: the newest lines of its history, its newest runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from sqlalchemy import Connection

from ingot.domain import errors, ids, node, runs
from ingot.store import claims as claim_store
from ingot.store import history, journals, nodes, retention
from ingot.store import runs as run_store
from ingot.store.engine import Store
from ingot.store.paging import Page
from ingot.store.place import Place


@pytest.fixture
async def store(empty: Place) -> AsyncIterator[Store]:
    made = Store(empty)
    yield made
    made.close()


async def add(store: Store) -> node.Node:
    return await store.run(nodes.create, node.Node(uuid=ids.new(), driver="fake-hardware"), None)


def make_run(owner: node.Node, started: float = 1.0) -> runs.Run:
    return runs.Run(id=ids.new(), node_uuid=owner.uuid, kind=runs.Kind.DEPLOY, started_at=started, deadline=99)


async def test_history_keeps_the_newest_lines(store: Store) -> None:
    made, other = await add(store), await add(store)
    await store.run(history.add, other.uuid, "other")
    assert await store.read(history.find_newest, made.uuid) is None
    for number in range(retention.KEEP_LINES + 5):
        await store.run(history.add, made.uuid, f"{number}", user="ada")
    await store.run(retention.drop_lines, made.uuid)
    lines = await store.read(history.list_page, made.uuid, Page())
    assert [line.event for line in lines] == [f"{number}" for number in range(5, retention.KEEP_LINES + 5)]
    assert await store.read(history.find_newest, made.uuid) == f"{retention.KEEP_LINES + 4}"
    assert await store.read(history.get, made.uuid, lines[0].uuid) == lines[0]
    with pytest.raises(errors.NotFound):
        await store.read(history.get, other.uuid, lines[0].uuid)
    assert len(await store.read(history.list_page, other.uuid, Page())) == 1


async def test_whoever_adds_to_a_history_looks_for_what_is_too_old_now_and_then(store: Store) -> None:
    made = await add(store)

    def fill(connection: Connection) -> None:
        for number in range(retention.KEEP_LINES + 400):  # that nobody of 400 looks happens once in 10 ** 11 times
            history.add(connection, made.uuid, f"{number}")

    await store.run(fill)
    assert len(await store.read(history.list_page, made.uuid, Page())) < retention.KEEP_LINES + 400


async def test_of_a_nodes_runs_the_newest_are_kept(store: Store) -> None:
    owner, other = await add(store), await add(store)
    kept = make_run(other)
    await store.run(run_store.open_run, kept)
    made = [make_run(owner, started=float(number)) for number in range(retention.KEEP_RUNS + 2)]
    made[-1] = msgspec.structs.replace(made[-1], id=f"0{made[-1].id[1:]}")  # one that looks for those that are too old
    for run in made:
        await store.run(run_store.open_run, run)
        leases = await store.run(claim_store.claim, "host/1", 10.0, 1e6, 9)
        [lease] = [one for one in leases if one.run_id == run.id]
        await store.run(journals.append, lease, runs.Entry(1, 0, runs.Mark.STARTED, 3.0))
        await store.run(run_store.finish, lease, runs.Status.SUCCEEDED, None, 30.0)
    found = await store.read(run_store.list_of_node, owner.uuid, 1000)
    assert [one.id for one in found] == [one.id for one in reversed(made[2:])]
    assert await store.read(journals.get, made[0].id) == []
    assert (await store.read(run_store.get, kept.id)).status == runs.Status.OPEN
