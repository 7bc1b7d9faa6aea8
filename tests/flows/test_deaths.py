"""Deaths of the process that works on a run use up none of its time; what hangs or kills still has its end."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows import stand, torture
from flows.test_engine import Probe, claiming, open_run, waits
from flows.torture import Bench, Scenario, Workshop
from ingot.conductor.membership import Membership
from ingot.deps import Deps
from ingot.domain import runs, states
from ingot.flows import deaths
from ingot.interfaces.context import StepContext
from ingot.store import absence, journals, nodes
from ingot.store import claims as claim_store
from ingot.store import runs as run_store

HOUR = 3600.0
PLAN = [runs.PlannedStep("flow", "first")]


async def cut(deps: Deps, deadline: float = 60.0, node: dict[str, Any] | None = None, **more: object) -> str:
    """A run whose owner died a moment after it had begun the only step of ``node``; the node's uuid."""
    uuid = await open_run(deps, deadline, **(node or {}))
    [lease] = await deps.store.run(claim_store.claim, "dead/1", deps.clock(), -1.0, 10)
    await deps.store.run(run_store.change, lease, plan=PLAN, **more)
    await deps.store.run(journals.append, lease, runs.Entry(1, 0, runs.Mark.STARTED, deps.clock()))
    return uuid


async def die(deps: Deps, uuid: str, times: int) -> None:
    """So many owners more take the run up, and die before they have written anything."""
    run = await deps.store.read(run_store.find_open, uuid)
    assert run is not None
    entries = await deps.store.read(journals.get, run.id)
    for _ in range(times):
        [lease] = await deps.store.run(claim_store.claim, "dead/3", deps.clock() + 1, -2.0, 10)
        run = await deps.store.read(run_store.get, lease.run_id)
        lost = deaths.reckon(run, entries, deps.clock(), died=True)
        memo = deaths.seated(msgspec.structs.replace(run, memo=lost.memo), 0.0, deps.clock()).memo
        assert not await deps.store.run(absence.give, [absence.Gift(lease, lost.seconds, lost.wait, memo)])


async def test_a_deadline_that_passed_while_its_owner_was_dead_is_none(tmp_path: Path) -> None:
    flow = Probe("first")
    async with stand.site(tmp_path) as deps:
        uuid = await cut(deps)
        late = stand.with_clock(deps, lambda: time.time() + HOUR)
        async with claiming(late, flow):
            run = await stand.ended(deps, uuid)
    assert (run.status, run.reason, flow.called) == (runs.Status.SUCCEEDED, None, ["first"])


async def test_a_step_that_hangs_ends_however_often_its_owner_died(tmp_path: Path) -> None:
    flow = Probe("first")

    async def hang(ctx: StepContext) -> None:
        await asyncio.Event().wait()

    flow.acts["first"] = hang
    async with stand.site(tmp_path) as deps:
        uuid = await cut(deps, 1.0)
        for _ in range(5):  # each has lived and died for the whole of the deadline
            late = deps.clock() + 1.0
            [lease] = await deps.store.run(claim_store.claim, "dead/2", late, -2.0, 10)
            assert lease.inherited
        began = time.monotonic()
        async with claiming(stand.with_clock(deps, lambda: time.time() + 2), flow):
            run = await stand.ended(deps, uuid)
    assert time.monotonic() - began < 8
    assert run.status == runs.Status.FAILED
    assert "did not end within" in (run.reason or "")
    assert flow.called == ["first", "undo_first"]


async def test_a_wait_goes_on_where_it_was(tmp_path: Path) -> None:
    """An owner that died while it looked whether the wait was over costs the wait nothing either."""
    flow = Probe("first")
    over = False
    flow.acts["first"] = waits("one", lambda: over, 30.0)
    async with stand.site(tmp_path) as deps:
        begun = runs.Wait("one", deps.clock(), deps.clock() + 30.0)
        uuid = await cut(deps, wait=begun)
        late = stand.with_clock(deps, lambda: time.time() + HOUR)
        async with claiming(late, flow):
            wait = (await stand.parked(deps, uuid)).wait
            assert wait is not None
            assert abs(wait.deadline - begun.deadline - HOUR) < 5
            assert wait.since <= late.clock()
            over = True
            late.bus.ring(uuid)
            assert (await stand.ended(deps, uuid)).status == runs.Status.SUCCEEDED


async def test_no_second_is_given_back_twice() -> None:
    run = runs.Run(id="r", node_uuid="n", kind=runs.Kind.VERIFY, started_at=100.0, deadline=400.0)
    line = runs.Entry(1, 0, runs.Mark.STARTED, 110.0)
    first = deaths.reckon(run, [line], 150.0, died=True)
    again = runs.Run(id="r", node_uuid="n", kind=runs.Kind.VERIFY, started_at=100.0, memo=first.memo)
    assert (first.seconds, deaths.reckon(again, [line], 160.0, died=True).seconds) == (40.0, 10.0)
    assert deaths.reckon(again, [line], 90.0, died=True).seconds == 0.0


async def test_a_hold_is_given_back_once_though_who_goes_on_dies(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        begun = deps.clock()
        uuid = await cut(deps, wait=runs.Wait("a release", begun, begun + 1e6, held=True))
        released = begun + 10 * HOUR
        assert await deps.store.run(run_store.release_hold, uuid, released)
        run = await deps.store.read(run_store.find_open, uuid)
        assert run is not None
        assert abs(run.deadline - begun - 60.0 - 10 * HOUR) < 5
        entries = await deps.store.read(journals.get, run.id)
        assert deaths.reckon(run, entries, released + 7.0, died=True).seconds == pytest.approx(7.0)


async def test_a_run_that_kills_its_process_every_time_is_given_up(tmp_path: Path) -> None:
    flow = Probe("first")
    async with stand.site(tmp_path) as deps:
        uuid = await cut(deps)
        await die(deps, uuid, deaths.MOST - 1)
        async with claiming(deps, flow):
            run = await stand.ended(deps, uuid)
    assert run.status == runs.Status.FAILED
    assert f"flow.first: The conductor died {deaths.MOST} times in the middle of flow.first" in (run.reason or "")
    assert flow.called == ["undo_first"]


async def test_a_plan_that_kills_its_process_every_time_is_given_up(tmp_path: Path) -> None:
    flow = Probe("first")
    async with stand.site(tmp_path) as deps:
        uuid = await open_run(deps)
        await deps.store.run(claim_store.claim, "dead/1", deps.clock(), -1.0, 10)
        await die(deps, uuid, deaths.MOST - 1)
        async with claiming(deps, flow):
            run = await stand.ended(deps, uuid)
    assert run.status == runs.Status.FAILED
    assert f"The conductor died {deaths.MOST} times in the middle of making its plan" in (run.reason or "")
    assert flow.called == []


async def test_logs_that_kill_the_process_every_time_are_given_up_and_the_run_is_undone(tmp_path: Path) -> None:
    flow = Probe("first")
    async with stand.site(tmp_path) as deps:
        uuid = await cut(deps, node={"agent_url": "https://127.0.0.1:1", "agent_heartbeat_at": deps.clock()})
        await deps.store.run(nodes.change, uuid, agent_token=deps.sealer.seal(uuid, "token"))
        [lease] = await deps.store.run(claim_store.claim, "dead/2", deps.clock() + 1, -2.0, 10)
        await deps.store.run(journals.append, lease, runs.Entry(2, 0, runs.Mark.FAILED, deps.clock(), "broken"))
        await die(deps, uuid, deaths.MOST - 1)
        async with claiming(deps, flow):
            run = await stand.ended(deps, uuid)
        told = [line for line in await stand.events(deps, uuid) if "logs" in line]
    assert (run.status, run.reason) == (runs.Status.FAILED, "broken")
    assert flow.called == ["undo_first"]
    assert len(told) == 1
    assert f"were not kept: The conductor died {deaths.MOST} times in the middle of fetching" in told[0]


async def test_who_gave_a_run_back_did_not_die(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        await open_run(deps)
        [lease] = await deps.store.run(claim_store.claim, "host/1", deps.clock(), 6.0, 10)
        await deps.store.run(run_store.release, lease, {}, deps.clock())
        [lease] = await deps.store.run(claim_store.claim, "host/1", deps.clock() + 1, 6.0, 10)
        assert not lease.inherited
        await deps.store.run(claim_store.release_all, "host/1")
        [lease] = await deps.store.run(claim_store.claim, "host/2", deps.clock() + 1, 6.0, 10)
        assert (lease.inherited, lease.died) == (True, True)
        await deps.store.run(claim_store.release_all, "host/2", died=False)
        [lease] = await deps.store.run(claim_store.claim, "host/3", deps.clock() + 1, 6.0, 10)
        assert (lease.inherited, lease.died) == (True, False)
        run = await deps.store.read(run_store.get, lease.run_id)
        lost = deaths.reckon(run, [], run.started_at + 5.0, died=False)
        assert (lost.seconds, lost.memo[runs.DEATHS]) == (
            5.0,
            {"at": run.started_at + 5.0, "place": [0, 0], "times": 0},
        )


async def test_short_absences_add_up_to_nothing(tmp_path: Path) -> None:
    """A run that waits while its conductor is killed every second or so keeps all of its time."""
    async with stand.site(tmp_path) as deps:
        flow = Probe("first")
        flow.acts["first"] = waits("one", lambda: False, poll=20.0)
        uuid = await open_run(deps)
        async with claiming(deps, flow):
            before = await stand.parked(deps, uuid)
        began = deps.clock()
        for number in range(11):  # by a clock that stands still: what the test itself takes would be given back as well
            later = stand.with_clock(deps, lambda by=number: began + 2.0 * by)
            await Membership(later, "host", f"boot-{number}").join()
        after = await deps.store.read(run_store.get, before.id)
    assert before.wait is not None
    assert after.wait is not None
    assert after.deadline - before.deadline == pytest.approx(20.0)
    assert after.wait.deadline - before.wait.deadline == pytest.approx(20.0)


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.close()


@pytest.mark.torture
@pytest.mark.timeout(300)
async def test_processes_that_die_for_longer_than_the_deadline_lose_nothing(workshop: Workshop, tmp_path: Path) -> None:
    """Real processes, killed one after another before they have written anything, until the deadline is long past."""
    bench = Bench(tmp_path, workshop, Scenario(states.State.AVAILABLE, "active"))
    await bench.set_up()
    folder = bench.copy("killed")
    killed, _ = workshop.run(folder, bench.uuid, kill_at=bench.writes // 2)
    assert killed == signal.SIGKILL
    deadline = time.time() + 1.0
    with closing(sqlite3.connect(folder / "ingot.db")) as base, base:
        assert base.execute("update runs set deadline = ? where status = 'open'", (deadline,)).rowcount == 1
    died = 0
    while time.time() < deadline + 1.0 or died < 5:
        assert workshop.run(folder, bench.uuid, kill_at=2)[0] == signal.SIGKILL
        died += 1
    assert workshop.run(folder, bench.uuid)[0] == 0
    assert (await torture.look(folder, bench.uuid, bench.scenario)).facts() == bench.undisturbed.facts()
