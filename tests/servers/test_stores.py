"""What only a database server can do to the store: several processes at once, lost connections, silent holders."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, MetaData, bindparam, inspect, select, text

from ingot.domain import errors, ids, node, runs
from ingot.store import claims as claim_store
from ingot.store import events, history, journals, nodes, rows, server, upgrade
from ingot.store import runs as run_store
from ingot.store.engine import Store
from ingot.store.place import Place
from ingot.store.schema import metadata
from servers.databases import KINDS, Databases

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent.parent
each_server = pytest.mark.parametrize("kind", KINDS)


def start_child(mode: str, where: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(TESTS.parent / "src")}
    program = [sys.executable, str(TESTS / "store/child.py"), mode, where]
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=env)


def add_user(connection: Connection, name: str, value: str = "0") -> None:
    insert = text("INSERT INTO users (name, password_hash, role, created_at) VALUES (:name, :value, 'admin', 'now')")
    connection.execute(insert, {"name": name, "value": value})


def value_of(connection: Connection, name: str) -> str | None:
    return connection.execute(text("SELECT password_hash FROM users WHERE name = :name"), {"name": name}).scalar()


async def add_node(store: Store) -> str:
    made = await store.run(nodes.create, node.Node(uuid=ids.new(), driver="fake-hardware"), None)
    return made.uuid


@each_server
async def test_processes_that_write_at_once_lose_no_update_and_claim_each_run_once(
    databases: Databases, kind: str
) -> None:
    where = databases.empty(kind)
    store = Store(where)
    await store.run(add_user, "counter")
    wanted: set[str] = set()
    for _ in range(40):
        uuid, run = await add_node(store), ids.new()
        opened = runs.Run(id=run, node_uuid=uuid, kind=runs.Kind.DEPLOY, started_at=1.0, wake_at=0.0, deadline=99)
        await store.run(run_store.open_run, opened)
        wanted.add(run)
    children = [start_child("count", where) for _ in range(4)]
    outputs = await asyncio.gather(*(asyncio.to_thread(child.communicate, None, 90) for child in children))
    assert [child.returncode for child in children] == [0] * 4
    claimed = [line for out, _ in outputs for line in out.split()]
    assert await store.read(value_of, "counter") == "400"
    assert len(claimed) == len(set(claimed))
    assert set(claimed) == wanted
    store.close()


@each_server
async def test_a_holder_that_stops_is_cut_off_and_what_it_wrote_is_not_there(databases: Databases, kind: str) -> None:
    where = databases.empty(kind)
    store = Store(where)
    with start_child("hold", where) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        began = time.monotonic()
        await store.run(add_user, "after")
        assert time.monotonic() - began < 14
        os.kill(child.pid, signal.SIGKILL)
    assert await store.read(value_of, "never") is None
    assert await store.read(value_of, "after") == "0"
    store.close()


@each_server
async def test_lost_connections_and_a_server_that_restarts_are_waited_for(databases: Databases, kind: str) -> None:
    where = databases.empty(kind)
    store = Store(where)
    await store.run(add_user, "before")
    assert await store.peek(value_of, "before") == "0"
    for _ in range(3):  # a statement that is met again takes the short way
        assert await store.peek(nodes.find, "none") is None
    running = databases.server(kind)
    for number in range(2):
        await asyncio.to_thread(running.stop)  # the loop goes on meanwhile and hears that its connections have ended
        writing = asyncio.ensure_future(store.run(add_user, f"during-{number}"))
        looking = asyncio.ensure_future(store.peek(nodes.find, "none"))  # by a statement that was prepared before
        reading = asyncio.ensure_future(store.read(value_of, "before"))
        await asyncio.sleep(0.3)
        assert not writing.done()
        await asyncio.to_thread(running.start)
        await asyncio.wait_for(writing, 30)
        assert await asyncio.wait_for(looking, 30) is None
        assert await asyncio.wait_for(reading, 30) == "0"
    assert [await store.peek(value_of, f"during-{number}") for number in range(2)] == ["0", "0"]
    store.close()


BY_NAME = select(metadata.tables["nodes"]).where(metadata.tables["nodes"].c.name == bindparam("ident"))


@each_server
async def test_the_short_way_gives_what_sqlalchemy_gives(databases: Databases, kind: str) -> None:
    """A statement goes SQLAlchemy's way the first time, is compiled the second and known the third."""
    where = databases.empty(kind)
    store = Store(where)
    facts: dict[str, Any] = {"maintenance": True, "extra": {"100 %": "it's\n😀"}, "agent_heartbeat_at": 12.5}

    def twice(connection: Connection, uuid: str) -> None:
        with pytest.raises(errors.Conflict, match="name secret already"):
            nodes.create(connection, node.Node(uuid=uuid, driver="fake-hardware", name="secret"), None)
        raise errors.Conflict("and the transaction with it")

    def look(connection: Connection) -> dict[str, Any]:
        return rows.as_dict(connection.execute(BY_NAME, {"ident": "secret"}).one())

    made = await add_node(store)
    for number in range(3):
        await store.run(nodes.change, made, name="secret", **facts, description=f"{number} %s")
        with pytest.raises(errors.Conflict):
            await store.run(twice, ids.new())
        found = await store.read(look)
        assert found == await asyncio.to_thread(server.run_once, where, look, 30)
        assert (found["maintenance"], found["retired"], found["description"]) == (True, False, f"{number} %s")
        assert not await store.run(nodes.change_if, made, {"provision_state": "active"}, fault="x")
        await store.run(nodes.set_traits, made, tuple(f"T{each}" for each in range(number)))
        assert len((await store.read(nodes.get, made)).traits) == number
    store.close()


@each_server
async def test_who_is_cancelled_while_he_reads_disturbs_nobody(databases: Databases, kind: str) -> None:
    store = Store(databases.empty(kind))
    await store.run(add_user, "ann")
    for _ in range(20):
        reading = [asyncio.ensure_future(store.read(value_of, "ann")) for _ in range(8)]
        await asyncio.sleep(0)
        for one in reading[::2]:
            one.cancel()
        assert await asyncio.gather(*reading[1::2]) == ["0"] * 4
    store.close()


@each_server
async def test_an_event_loop_that_has_ended_leaves_nothing(databases: Databases, kind: str) -> None:
    store = Store(databases.empty(kind))
    await store.run(add_user, "ann")
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def reading() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        assert await asyncio.gather(*(store.read(value_of, "ann") for _ in range(8))) == ["0"] * 8

    for _ in range(3):
        await asyncio.to_thread(lambda: asyncio.run(reading()))
    gc.collect()
    assert [one() for one in loops] == [None] * 3
    assert await store.read(value_of, "ann") == "0"
    store.close()


@each_server
async def test_a_server_that_is_away_is_told_without_the_password(databases: Databases, kind: str) -> None:
    where = databases.empty(kind).replace("ingot-db-", "no-such-folder-")
    store = Store(where, patience=1)
    for use in (store.run(value_of, "x"), store.read(value_of, "x"), store.peek(value_of, "x")):
        with pytest.raises(errors.StoreDown, match="cannot be used") as refused:
            await use
        assert "not-a-secret" not in refused.value.sentence()
        assert "See that the server runs" in refused.value.sentence()
    store.close()
    with pytest.raises(errors.StoreDown, match="cannot be used"):
        await asyncio.to_thread(upgrade.upgrade, where)


@each_server
async def test_what_a_column_cannot_take_is_refused_without_repeating_it(databases: Databases, kind: str) -> None:
    store = Store(databases.empty(kind))
    for value in ("secret" * 60, *(["secret\0"] if kind == "postgresql" else [])):
        with pytest.raises(errors.Invalid, match="too long") as refused:
            await store.run(add_user, "ann", value)
        assert "secret" not in refused.value.sentence()
    assert await store.read(value_of, "ann") is None
    store.close()


@each_server
def test_migrations_lead_to_exactly_the_schema(databases: Databases, kind: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    made, wanted = databases.new(kind), databases.new(kind)
    assert upgrade.upgrade(made)
    assert not upgrade.upgrade(made)
    assert upgrade.current(made) == upgrade.HEAD

    def create(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")
        if kind == "mariadb":
            connection.exec_driver_sql("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
        metadata.create_all(connection)
        connection.exec_driver_sql("COMMIT")

    def compare(connection: Connection) -> Any:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": False}), metadata)

    server.run_once(wanted, create, 60)
    assert server.run_once(made, compare, 60) == []
    assert server.run_once(made, described, 60) == server.run_once(wanted, described, 60)


@each_server
def test_who_upgrades_waits_for_another_that_does_and_says_so(databases: Databases, kind: str) -> None:
    where = databases.empty(kind)

    def second() -> None:
        with pytest.raises(errors.StoreDown, match=r"upgrading the database|lock"):
            server.run_once(where, begin, 1)

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")
        upgrade.stand_alone(connection, 1)

    def first(connection: Connection) -> None:
        begin(connection)
        second()

    server.run_once(where, first, 30)
    server.run_once(where, begin, 5)


def described(connection: Connection) -> dict[str, Any]:
    """Columns, keys and indexes of each table, as the database itself tells them."""
    found = MetaData()
    found.reflect(connection)
    told = inspect(connection)
    return {
        table: [
            sorted((one["name"], str(one["type"]), one["nullable"], one["default"]) for one in told.get_columns(table)),
            sorted(told.get_pk_constraint(table)["constrained_columns"]),
            sorted((one["column_names"], bool(one["unique"])) for one in told.get_indexes(table)),
            sorted(one["column_names"] for one in told.get_unique_constraints(table)),
            sorted(
                (one["constrained_columns"], one["referred_table"], str(one["options"]))
                for one in told.get_foreign_keys(table)
            ),
        ]
        for table in metadata.tables
    }


async def test_the_same_work_is_the_same_events_on_each_database(databases: Databases, tmp_path: Path) -> None:
    places: list[Place] = [tmp_path / "ingot.db", *(databases.empty(kind) for kind in KINDS)]
    upgrade.upgrade(tmp_path / "ingot.db")
    told = [await work_and_listen(place) for place in places]
    assert [kind for kind, _ in told[0]] == [
        "node.created", "node.changed", "history.added", "run.started", "run.step", "run.progress", "run.waiting",
        "run.ended", "node.deleted",
    ]  # fmt: skip
    assert told[1] == told[0]
    assert told[2] == told[0]


async def work_and_listen(where: Place) -> list[tuple[str, dict[str, Any]]]:
    store = Store(where)
    last = (await store.read(events.bounds))[1]
    uuid, run = ids.new(), ids.new()
    fields: dict[str, Any] = {"name": 'n"ä\\', "owner": "ada"}
    await store.run(nodes.create, node.Node(uuid=uuid, driver="fake-hardware", **fields), None)
    await store.run(nodes.change, uuid, maintenance=True, last_error="it's\n😀")
    await store.run(nodes.change, uuid, maintenance=True, description="no event")
    await store.run(history.add, uuid, "line", user="bob")
    plan = [runs.PlannedStep("deploy", "write_image", priority=80)]
    opened = runs.Run(id=run, node_uuid=uuid, kind=runs.Kind.DEPLOY, started_at=1.5, wake_at=0.0, deadline=99.25)
    await store.run(run_store.open_run, opened)
    [lease] = await store.run(claim_store.claim, "host/1", 10.0, 5.0, 9)
    await store.run(run_store.change, lease, plan=msgspec.to_builtins(plan))
    await store.run(journals.append, lease, runs.Entry(1, 0, runs.Mark.STARTED, 3.0, "why"))
    await store.run(run_store.change, lease, progress={"done": 1, "of": 2})
    await store.run(run_store.park, lease, runs.Wait("the call", 10.0, 100.0), 50.0)
    [lease] = await store.run(claim_store.claim, "host/1", 60.0, 5.0, 9)
    await store.run(run_store.finish, lease, runs.Status.SUCCEEDED, None, 70.0)
    await store.run(nodes.destroy, uuid)
    found = await store.read(events.list_after, last, 100)
    store.close()
    assert all(abs(one.at - time.time()) < 100 for one in found)
    assert {(one.node_uuid, one.owner, one.lessee) for one in found} == {(uuid, "ada", None)}
    bodies = [json.loads(one.body.replace(run, "RUN")) for one in found]
    for body in bodies:
        body.pop("entry", None)
    return list(zip((one.kind for one in found), bodies, strict=True))
