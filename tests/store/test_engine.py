"""The store's promises: durable when told so, units alone in failure, snapshots for readers, clear errors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Connection, exc, text

from ingot.domain import errors
from ingot.store import node_filters, paging, units, upgrade
from ingot.store import server as server_store
from ingot.store.engine import Store
from ingot.store.node_filters import Filter
from ingot.store.place import Place
from ingot.store.schema import metadata

TESTS = Path(__file__).parent.parent


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Store]:
    upgrade.upgrade(tmp_path / "ingot.db")
    made = Store(tmp_path / "ingot.db", patience=0.5)
    yield made
    made.close()


@pytest.fixture
async def store(empty: Place) -> AsyncIterator[Store]:
    made = Store(empty)
    yield made
    made.close()


def put(connection: Connection, name: str, *, fail: bool = False) -> str:
    connection.execute(
        text("INSERT INTO users (name, password_hash, role, created_at) VALUES (:name, 'x', 'admin', 'now')"),
        {"name": name},
    )
    if fail:
        raise errors.Conflict(f"no {name}")
    return name


def names(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT name FROM users ORDER BY name")).scalars())


async def test_a_failing_unit_rolls_back_alone_and_the_others_of_its_group_stay(store: Store) -> None:
    gate = asyncio.Event()

    def hold(connection: Connection) -> None:
        time_limit = time.monotonic() + 5
        while not gate.is_set() and time.monotonic() < time_limit:
            os.sched_yield()

    blocker = asyncio.ensure_future(store.run(hold))
    await asyncio.sleep(0)
    units = [asyncio.ensure_future(store.run(put, f"u{i:02}", fail=i % 3 == 0)) for i in range(30)]
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(blocker, *units, return_exceptions=True)
    for index, result in enumerate(results[1:]):
        assert isinstance(result, errors.Conflict) if index % 3 == 0 else result == f"u{index:02}"
    assert await store.read(names) == [f"u{i:02}" for i in range(30) if i % 3]


async def test_a_unit_is_run_again_only_where_something_is_to_be_taken_back(store: Store) -> None:
    gate, held, called = asyncio.Event(), threading.Event(), Counter[str]()

    def hold(_connection: Connection) -> None:
        held.set()
        time_limit = time.monotonic() + 5
        while not gate.is_set() and time.monotonic() < time_limit:
            os.sched_yield()

    def count(connection: Connection, name: str, *, refuse: bool = False, fail: bool = False) -> None:
        called[name] += 1
        if refuse:
            raise errors.Conflict("before it wrote")
        put(connection, name, fail=fail)

    for failing in (False, True):
        gate.clear()
        held.clear()
        blocker = asyncio.ensure_future(store.run(hold))
        assert await asyncio.to_thread(held.wait, 5)  # in a group of its own, so that the others share the next one
        units = [
            asyncio.ensure_future(store.run(count, f"good-{failing}")),
            asyncio.ensure_future(store.run(count, f"refused-{failing}", refuse=True)),
            asyncio.ensure_future(store.run(count, f"last-{failing}", fail=failing)),
        ]
        await asyncio.sleep(0)
        gate.set()
        _, good, refused, last = await asyncio.gather(blocker, *units, return_exceptions=True)
        assert good is None
        assert isinstance(refused, errors.Conflict)
        assert isinstance(last, errors.Conflict) is failing
    assert called == {
        **dict.fromkeys(("good-False", "refused-False", "last-False"), 1),
        **dict.fromkeys(("good-True", "refused-True", "last-True"), 2),
    }
    assert await store.read(names) == ["good-False", "good-True", "last-False"]


async def test_a_unit_with_wrong_sql_fails_alone(store: Store) -> None:
    def wrong(connection: Connection) -> None:
        put(connection, "gone")
        connection.execute(text("SELECT * FROM nowhere"))

    good, bad = await asyncio.gather(store.run(put, "good"), store.run(wrong), return_exceptions=True)
    assert good == "good"
    assert isinstance(bad, errors.Unreachable)
    assert "nowhere" in bad.message
    assert await store.read(names) == ["good"]


async def test_a_unit_that_goes_on_after_a_refused_statement_is_told_done_only_where_it_is(store: Store) -> None:
    """PostgreSQL answers a COMMIT with ROLLBACK then, which is no error to its driver."""

    def twice(connection: Connection) -> None:
        put(connection, "twice")
        with contextlib.suppress(exc.IntegrityError):
            put(connection, "twice")

    [outcome] = await asyncio.gather(store.run(twice), return_exceptions=True)
    assert isinstance(outcome, errors.StoreDown | None)
    assert await store.read(names) == ([] if outcome else ["twice"])


async def test_many_tasks_and_threads_lose_nothing(store: Store) -> None:
    def other_loop(part: int) -> None:
        async def work() -> None:
            await asyncio.gather(*(store.run(put, f"{part}-{i}") for i in range(200)))

        asyncio.run(work())

    await asyncio.gather(*(asyncio.to_thread(other_loop, part) for part in range(4)))
    assert len(await store.read(names)) == 800


async def test_a_reader_sees_one_snapshot_while_others_write(file: Store) -> None:
    await file.run(put, "before")
    loop = asyncio.get_running_loop()
    seen: list[list[str]] = []

    def look_twice(connection: Connection) -> None:
        seen.append(names(connection))
        asyncio.run_coroutine_threadsafe(file.run(put, "meanwhile"), loop).result(5)
        seen.append(names(connection))

    await file.read(look_twice)
    assert seen == [["before"], ["before"]]
    assert await file.read(names) == ["before", "meanwhile"]


async def test_a_cancelled_caller_does_not_disturb_the_writer(store: Store) -> None:
    for number in range(50):
        task = asyncio.ensure_future(store.run(put, f"{number}"))
        await asyncio.sleep(0)
        task.cancel()
    assert await store.run(put, "last") == "last"


async def test_a_closed_store_says_so_instead_of_hanging(empty: Place) -> None:
    store = Store(empty)
    store.close()
    for use in (store.run, store.read, store.peek):
        with pytest.raises(errors.Bug, match="after it was closed"):
            await use(names)


async def test_a_database_held_by_another_process_is_waited_for_then_refused(file: Store) -> None:
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE')"
    program = [sys.executable, "-c", f"{code}; print('held', flush=True); sys.stdin.readline()", str(file.where)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == b"held\n"
        began = time.monotonic()
        with pytest.raises(errors.Unreachable, match="database is locked") as refused:
            await file.run(put, "late")
        assert 0.4 < time.monotonic() - began < 5
        assert "Another program holds the database" in refused.value.sentence()
        assert await file.read(names) == []
        waiting = asyncio.ensure_future(file.run(put, "patient"))
        await asyncio.sleep(0)
        other.stdin.close()
        assert await waiting == "patient"


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
@pytest.mark.parametrize("said", [b"", bytes(4), b"\x02\x00\x00\x00\xff\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_a_server_that_hangs_up_or_is_none_is_told_each_time_anew(kind: str, said: bytes) -> None:
    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        where = f"{kind}://ada:geheim@127.0.0.1:{port}/ingot"
        store = Store(where, patience=0.2)
        for use in (store.run, store.run, store.read):
            async with asyncio.timeout(20):
                with pytest.raises(errors.StoreDown, match=f"127.0.0.1:{port}/ingot cannot be used") as refused:
                    await use(names)
            assert "geheim" not in refused.value.sentence()
        with pytest.raises(errors.StoreDown):
            await asyncio.to_thread(server_store.run_once, where, names, 0.2)
        store.close()


def test_a_connection_lost_within_a_unit_is_told_as_that() -> None:
    def lose(connection: Connection) -> None:
        connection.invalidate()
        raise exc.OperationalError("SELECT 1", {}, OSError("cut off"))

    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        with pytest.raises(exc.OperationalError, match="cut off"):
            units.attempt(connection, lambda there: units.attempt(there, lose, "within"))
        connection.rollback()


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (Filter(maintenance=True), "ix_nodes_maintenance"),
        (Filter(retired=True), "ix_nodes_retired"),
        (Filter(fault="power failure"), "ix_nodes_fault"),
        (Filter(conductor_group="rack"), "ix_nodes_conductor_group"),
        (Filter(associated=True), "ix_nodes_associated"),
        (Filter(conductor_group="", maintenance=False, provision_state="rescue"), "ix_nodes_provision_state"),
        (Filter(maintenance=False), None),
    ],
)
async def test_a_filter_that_few_nodes_pass_reads_those_only(tmp_path: Path, asked: Filter, index: str | None) -> None:
    upgrade.upgrade(tmp_path / "new.db")

    def plan(connection: Connection) -> str:
        table = metadata.tables["nodes"]
        wanted = sqlalchemy.select(table.c.uuid).where(*node_filters.conditions(asked))
        made = paging.paged(connection, table, wanted, paging.Page(limit=100))
        written = made.compile(connection, compile_kwargs={"literal_binds": True})
        found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}")
        return " ".join(row[3] for row in found)

    store = Store(tmp_path / "new.db")
    told = await store.read(plan)
    store.close()
    assert "TEMP B-TREE" not in told, "what is found is in order"
    assert (f"USING INDEX {index}" in told) if index else ("INDEX" not in told), told


# --- A real process under SIGKILL and a full disk (tests/store/child.py) ---


def start_child(mode: str, where: Place) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(TESTS.parent / "src")}
    program = [sys.executable, str(Path(__file__).with_name("child.py")), mode, str(where)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=env)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(12))
async def test_kill_at_any_instant_loses_no_acknowledged_write(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "ingot.db"
    upgrade.upgrade(path)
    told: set[str] = set()
    for _round in range(2):
        with start_child("write", path) as child:
            assert child.stdout is not None
            told.add(child.stdout.readline().strip())
            await asyncio.sleep(random.Random(seed * 7 + _round).uniform(0, 0.25))
            os.kill(child.pid, signal.SIGKILL)
            lines = child.stdout.read().split("\n")
        told.update(line for line in lines[:-1])  # the last one may be cut short
    store = Store(path)
    kept = set(await store.read(names))
    store.close()
    assert len(told) > 1
    assert told <= kept
    assert all(name.removesuffix("-b") + "-b" in kept for name in kept), "half of a unit is on disk"


@pytest.mark.torture
async def test_kill_while_the_schema_is_made_leaves_nothing_half(tmp_path: Path) -> None:
    interrupted = 0
    for number in range(12):
        path = tmp_path / f"{number}" / "ingot.db"
        with start_child("upgrade", path) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "go\n"
            await asyncio.sleep(number * 0.012)
            os.kill(child.pid, signal.SIGKILL)
            interrupted += "done" not in child.stdout.read()
        upgrade.upgrade(path)
        store = Store(path)
        assert await store.run(put, "works") == "works"
        store.close()
    assert interrupted >= 3


async def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    path = tmp_path / "ingot.db"
    upgrade.upgrade(path)
    with start_child("fill", path) as child:
        out, _ = child.communicate(timeout=60)
    *told, refused, after = out.splitlines()
    assert refused.startswith("refused: The database ")
    assert "disk" in refused
    assert after == "after"
    store = Store(path)
    kept = set(await store.read(names))
    store.close()
    assert len(told) > 3
    assert set(told) | {"after"} <= kept
