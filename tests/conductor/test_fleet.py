"""Many nodes at once: all reach their goal, each step costs few statements, and nobody's time runs before his turn."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from flows import stand
from ingot.deps import Deps
from ingot.domain import runs, states
from ingot.services import provisioning
from ingot.store import node_filters, nodes
from ingot.store import runs as run_store
from ingot.store.paging import Page

S = states.State
EVERY = Page(limit=10_000)
LOOK = "SELECT nodes.provision_state, nodes.reservation"
"""How this test looks whether all have arrived."""
FRAME = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT", "ROLLBACK", "PRAGMA")


class Counted(Counter[str]):
    """How often each statement was run while ``counting`` was true; those that frame units left out."""

    counting = False

    def note(self, statement: str) -> None:
        if self.counting and not statement.startswith(FRAME):
            self[statement] += 1


@contextmanager
def counted() -> Generator[Counted]:
    """Counts at SQLite's own driver, because most statements do not pass SQLAlchemy."""
    found = Counted()

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            found.note(sql)
            return super().execute(sql, *values)

        def executemany(self, sql: str, lines: Any) -> sqlite3.Cursor:
            found.note(sql)
            return super().executemany(sql, lines)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            return self.cursor().execute(sql, *values)

        def executemany(self, sql: str, lines: Any) -> sqlite3.Cursor:
            return self.cursor().executemany(sql, lines)

    def make(_dialect: Any, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
        named["factory"] = Connection

    event.listen(Engine, "do_connect", make)
    try:
        yield found
    finally:
        event.remove(Engine, "do_connect", make)


async def reach(deps: Deps, uuids: list[str], verb: str, goal: states.State) -> None:
    """Ask all at once, and wait until each is there."""
    await asyncio.gather(*(provisioning.request(deps, uuid, verb, {}) for uuid in uuids))

    async def arrived() -> bool:
        found = await deps.store.read(nodes.list_rows, node_filters.Filter(), EVERY, ("provision_state", "reservation"))
        return Counter((row["provision_state"], row["reservation"]) for row in found) == {(goal, None): len(uuids)}

    await stand.until(arrived, 120)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_hundred_nodes_all_the_way_at_once(tmp_path: Path) -> None:
    with counted() as statements:
        await all_the_way(tmp_path, statements)


async def all_the_way(folder: Path, statements: Counted) -> None:
    async with stand.site(folder, fake_effects="") as deps, stand.conductor(deps):
        uuids = [await stand.add_node(deps, S.ENROLL) for _ in range(200)]
        for verb, goal in (("manage", S.MANAGEABLE), ("inspect", S.MANAGEABLE), ("provide", S.AVAILABLE)):
            await reach(deps, uuids, verb, goal)
        statements.counting = True
        await reach(deps, uuids, "active", S.ACTIVE)
        statements.counting = False
        plan = 4
        of_runs = {text: number for text, number in statements.items() if not text.startswith(LOOK)}
        of_steps = sum(number for text, number in of_runs.items() if "node_history" not in text)
        assert of_steps / len(uuids) < plan * 4 + 8, statements.most_common(20)
        whole = sum(number for text, number in of_runs.items() if text.startswith("SELECT nodes.id"))
        assert whole / len(uuids) < 4, "a request reads its node thrice, a step only where others changed it"
        begun = sum(number for text, number in statements.items() if text.startswith("INSERT INTO run_events"))
        assert begun
        assert begun / len(uuids) <= plan + 2, "the end of a step and the begin of the next one are one write"
        await reach(deps, uuids, "deleted", S.AVAILABLE)


async def test_no_time_runs_before_a_run_is_taken_up(tmp_path: Path) -> None:
    """A run that nobody could take up for hours says so, and then has all its time."""
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps)
        await provisioning.request(deps, uuid, "active", {})
        asked = await deps.store.read(run_store.find_last, uuid)
        assert asked is not None
        assert "Waits for a conductor" in (asked.told() or "")
        later = stand.with_clock(deps, lambda: asked.started_at + 20_000.0)
        assert asked.deadline < later.clock()
        async with stand.conductor(later):
            ended = await stand.ended(deps, uuid)
        assert (ended.status, ended.told()) == (runs.Status.SUCCEEDED, None)
        assert ended.deadline == pytest.approx(asked.deadline + 20_000.0)
