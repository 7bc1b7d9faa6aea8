"""Many nodes at once: all reach their goal, each step costs few statements, and nobody's time runs before his turn."""

from __future__ import annotations

import asyncio
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
from ingot.store import nodes
from ingot.store import runs as run_store
from ingot.store.paging import Page

S = states.State
EVERY = Page(limit=10_000)
FRAME = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT", "ROLLBACK")


@contextmanager
def counted() -> Generator[Counter[str]]:
    """The statements that are executed meanwhile, those that frame units left out."""
    found: Counter[str] = Counter()

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.startswith(FRAME):
            found[statement] += 1

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def reach(deps: Deps, uuids: list[str], verb: str, goal: states.State) -> None:
    """Ask all at once, and wait until each is there."""
    await asyncio.gather(*(provisioning.request(deps, uuid, verb, {}) for uuid in uuids))

    async def arrived() -> bool:
        found = await deps.store.read(nodes.list_rows, nodes.Filter(), EVERY, ("provision_state", "reservation"))
        return Counter((row["provision_state"], row["reservation"]) for row in found) == {(goal, None): len(uuids)}

    await stand.until(arrived, 120)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_hundred_nodes_all_the_way_at_once(tmp_path: Path) -> None:
    async with stand.site(tmp_path, fake_effects="") as deps, stand.conductor(deps):
        uuids = [await stand.add_node(deps, S.ENROLL) for _ in range(200)]
        for verb, goal in (("manage", S.MANAGEABLE), ("inspect", S.MANAGEABLE), ("provide", S.AVAILABLE)):
            await reach(deps, uuids, verb, goal)
        with counted() as statements:
            await reach(deps, uuids, "active", S.ACTIVE)
        plan = 4
        of_steps = sum(number for text, number in statements.items() if "node_history" not in text)
        assert of_steps / len(uuids) < plan * 8 + 12, statements.most_common(20)
        begun = sum(number for text, number in statements.items() if text.startswith("INSERT INTO run_events"))
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
