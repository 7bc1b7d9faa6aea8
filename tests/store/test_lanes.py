"""Units of different nodes side by side: what comes out is what they give one after another, in fewer messages."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, text

from ingot.domain import errors, node, runs
from ingot.store import claims as claim_store
from ingot.store import history, journals, lanes, nodes, schema, units, upgrade
from ingot.store import runs as run_store
from ingot.store.engine import Store
from ingot.store.place import Place
from ingot.store.plans import Asked
from ingot.store.quick import Found, QuickConnection
from ingot.store.units import Unit

UUIDS = [f"{number:08}-0000-4000-8000-000000000000" for number in range(8)]
Asking = tuple[str | None, Callable[[Connection], Any]]
"""The node that all belongs to, and the unit."""


class Counting(QuickConnection):
    """Counts the messages that a server would get."""

    messages = 0

    def execute_each(self, asked: Sequence[Asked]) -> list[Found]:
        self.messages += 1
        return super().execute_each(asked)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Counting]:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'a.db'}", isolation_level="AUTOCOMMIT")
    schema.metadata.create_all(engine)
    made = Counting(engine)
    with made:
        for uuid in UUIDS:
            fill(made, uuid)
        yield made
    engine.dispose()


def fill(connection: Connection, uuid: str) -> None:
    nodes.create(connection, node.Node(uuid=uuid, driver="fake-hardware", name=f"n{uuid[:8]}"), None)
    run = runs.Run(id=f"run-{uuid[:8]}", node_uuid=uuid, kind=runs.Kind.DEPLOY, started_at=1.0, wake_at=0.0, deadline=9)
    run_store.open_run(connection, run)


def beat(connection: Connection, uuid: str, at: float) -> float | None:
    """The moment that stood there before."""
    seen = nodes.get(connection, uuid).agent_heartbeat_at
    nodes.change(connection, uuid, agent_heartbeat_at=at, updated_at="now")
    assert run_store.wake(connection, uuid, at)
    return seen


def of(connection: QuickConnection, *asked: Asking) -> list[Any] | None:
    """What each returned or raised; None where all is to be taken back."""
    loop = asyncio.new_event_loop()
    group = [Unit(work, loop.create_future(), of) for of, work in asked]
    loop.close()
    outcomes = lanes.straight(connection, group)
    return outcomes and [result if failure is None else failure for result, failure in outcomes]


def at(uuid: str, moment: float) -> Asking:
    return uuid, lambda connection: beat(connection, uuid, moment)


def test_the_same_statement_of_many_nodes_is_one_message(connection: Counting) -> None:
    for moment in (1.0, 2.0, 3.0):
        assert of(connection, *(at(uuid, moment) for uuid in UUIDS)) == [moment - 1 or None] * len(UUIDS)
    connection.messages = 0
    assert of(connection, *(at(uuid, 4.0) for uuid in UUIDS)) == [3.0] * len(UUIDS)
    assert connection.messages == 3


def test_units_of_one_node_follow_each_other_and_who_looks_further_comes_between(connection: Counting) -> None:
    def look(there: Connection) -> list[float]:
        return list(there.execute(text("SELECT agent_heartbeat_at FROM nodes ORDER BY uuid LIMIT 3")).scalars())

    one, two, three = UUIDS[:3]
    found = of(connection, at(one, 1.0), at(two, 2.0), at(one, 3.0), at(three, 4.0), (None, look), at(one, 5.0))
    assert found == [None, None, 1.0, None, [3.0, 2.0, 4.0], 3.0]


def test_who_is_refused_before_he_wrote_costs_the_others_nothing(connection: Counting) -> None:
    def refuse(there: Connection) -> None:
        nodes.get(there, UUIDS[0])
        raise errors.Conflict("not now")

    first, second, third = of(connection, (UUIDS[0], refuse), at(UUIDS[1], 1.0), at(UUIDS[0], 2.0)) or []
    assert isinstance(first, errors.Conflict)
    assert (second, third) == (None, None)


@pytest.mark.parametrize("kind", ["after he wrote", "by the database", "by the driver", "with savepoints"])
def test_all_is_taken_back_where_a_unit_has_to_be_run_alone(connection: Counting, kind: str) -> None:
    def fail(there: Connection) -> None:
        if kind == "after he wrote":
            nodes.change(there, UUIDS[0], description="never seen")
            raise errors.Conflict("too late")
        if kind == "by the database":
            there.execute(text("SELECT nothing FROM nowhere"))
        elif kind == "by the driver":
            nodes.find(there, "no letter: \ud800")
        else:
            units.attempt(there, lambda further: beat(further, UUIDS[0], 9.0), "mine")

    assert of(connection, (UUIDS[0], fail), at(UUIDS[1], 1.0)) is None


async def test_what_comes_out_is_what_units_give_one_after_another(empty: Place, tmp_path: Path) -> None:
    """Random groups of units on servers and SQLite, which knows no lanes."""
    upgrade.upgrade(tmp_path / "plain.db")
    for seed in range(6):
        asked = Asker(seed)
        given, plain = await lived(empty, asked), await lived(tmp_path / "plain.db", asked)
        assert given == plain, f"seed {seed}"


async def test_what_one_reader_asks_wrongly_costs_the_others_nothing(empty: Place) -> None:
    def broken(connection: Connection) -> None:
        connection.execute(text("SELECT nothing FROM nowhere"))

    def stumbling(connection: Connection) -> None:
        raise KeyError(dump(connection)[0])

    store = Store(empty)
    told = await asyncio.gather(
        *(store.read(one) for _ in range(6) for one in (dump, stumbling, broken)), return_exceptions=True
    )
    store.close()
    assert [isinstance(one, list) for one in told] == [True, False, False] * 6
    assert [isinstance(one, KeyError) for one in told] == [False, True, False] * 6


async def test_callers_who_have_gone_leave_nobody_waiting() -> None:
    """More of them than are served at once, before one who still waits; here by a server that is away."""
    store = Store("postgresql://nobody@127.0.0.1:1/none", patience=0.5)
    asked = [asyncio.ensure_future(store.peek(dump)) for _ in range(70)]
    await asyncio.sleep(0)
    for one in asked[1:-1]:
        one.cancel()
    with pytest.raises(errors.StoreDown):
        await asyncio.wait_for(asked[-1], 10)
    await asyncio.gather(*asked, return_exceptions=True)
    store.close()


class Asker:
    """A group of units, the same for each database."""

    def __init__(self, seed: int) -> None:
        chosen = random.Random(seed)
        kinds = ["beat", "journal", "note", "name", "refuse", "count", *(["spoil"] if seed % 2 else [])]
        self.wanted = [(chosen.choice(kinds), chosen.randrange(len(UUIDS)), float(step)) for step in range(1, 60)]

    def units(self, leases: dict[str, run_store.Lease]) -> list[Asking]:
        return [self._unit(kind, UUIDS[number], step, leases) for kind, number, step in self.wanted]

    def _unit(self, kind: str, uuid: str, step: float, leases: dict[str, run_store.Lease]) -> Asking:
        def work(connection: Connection) -> Any:
            match kind:
                case "beat":
                    return beat(connection, uuid, step)
                case "journal":
                    return journals.append(connection, leases[uuid], runs.Entry(int(step), 0, runs.Mark.STARTED, step))
                case "note":
                    return history.add(connection, uuid, f"line {step}")
                case "name":  # at times one that another node has
                    return nodes.change(connection, uuid, name=f"named-{int(step) % 7}", updated_at="now")
                case "count":
                    return connection.execute(text("SELECT max(wake_at) FROM runs")).scalar()
                case _:
                    if kind == "spoil":
                        nodes.change(connection, uuid, description=f"by {step}")
                    raise errors.Conflict(f"{kind} {step}")

        return (None if kind == "count" else uuid), work


async def lived(where: Place, asker: Asker) -> tuple[list[Any], list[Any]]:
    """What each unit of one group returned or raised, and what is in the tables then."""
    store = Store(where)
    await store.run(clear)
    for uuid in UUIDS:
        await store.run(fill, uuid)
    leases = {one.node_uuid: one for one in await store.run(claim_store.claim, "me/1", 5.0, 60.0, len(UUIDS))}
    gate, held = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        held.set()
        until = time.monotonic() + 5
        while not gate.is_set() and time.monotonic() < until:
            os.sched_yield()

    holding = asyncio.ensure_future(store.run(hold))
    assert await asyncio.to_thread(held.wait, 5)
    waiting = [asyncio.ensure_future(store.run_of(of, work)) for of, work in asker.units(leases)]
    await asyncio.sleep(0)
    gate.set()
    await holding
    told = await asyncio.gather(*waiting, return_exceptions=True)
    there = await store.read(dump)
    store.close()
    return [str(one) for one in told], there


def clear(connection: Connection) -> None:
    for table in (schema.runs, schema.nodes):
        connection.execute(table.delete())


def dump(connection: Connection) -> list[Any]:
    asked = (
        "SELECT uuid, name, description, agent_heartbeat_at FROM nodes ORDER BY uuid",
        "SELECT node_uuid, wake_at, generation FROM runs ORDER BY node_uuid",
        "SELECT run_id, seq, at FROM run_events ORDER BY run_id, seq",
        "SELECT node_uuid, event FROM node_history ORDER BY node_uuid, id",
    )
    return [[tuple(row) for row in connection.execute(text(one))] for one in asked]
