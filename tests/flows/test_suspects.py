"""What died again and again goes on a few at a time, so that some of it comes a step forward before the next death."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows import stand
from flows.test_deaths import PLAN
from flows.test_engine import Probe, claiming, open_run, waits
from ingot.deps import Deps
from ingot.domain import runs
from ingot.flows import deaths, suspects
from ingot.flows.run import Runner
from ingot.interfaces.context import StepContext
from ingot.store import absence, journals
from ingot.store import claims as claim_store
from ingot.store import runs as run_store


async def died(deps: Deps, number: int, times: int) -> list[str]:
    """The nodes of so many runs, all of which were held by processes that died in their only step so many times."""
    uuids = [await open_run(deps) for _ in range(number)]
    for time in range(times):
        for lease in await deps.store.run(claim_store.claim, f"dead/{time}", deps.clock() + 1, -2.0, number):
            if time == 0:
                await deps.store.run(run_store.change, lease, plan=PLAN)
                await deps.store.run(journals.append, lease, runs.Entry(1, 0, runs.Mark.STARTED, deps.clock()))
                continue
            run = await deps.store.read(run_store.get, lease.run_id)
            entries = await deps.store.read(journals.get, lease.run_id)
            lost = deaths.reckon(run, entries, deps.clock(), died=True)
            await deps.store.run(absence.give, [absence.Gift(lease, lost.seconds, lost.wait, lost.memo)])
    return uuids


@pytest.mark.parametrize(
    ("number", "times", "takes", "most"),
    [
        pytest.param(suspects.SEATS + 12, 4, 0.1, suspects.SEATS, id="few at a time"),
        pytest.param(20, 1, 0.1, 20, id="a first death is nobody's fault"),
        pytest.param(suspects.SEATS + 1, 4, 1.7, suspects.SEATS + 1, id="who waits for hardware holds nobody up"),
    ],
)
async def test_who_died_often_goes_on_among_few(
    tmp_path: Path, number: int, times: int, takes: float, most: int
) -> None:
    flow = Probe("first")
    at_once = [0, 0]

    async def act(_ctx: StepContext) -> None:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(takes)
        at_once[0] -= 1

    flow.acts["first"] = act
    async with stand.site(tmp_path) as deps:
        uuids = await died(deps, number, times)
        async with claiming(deps, flow):
            ends = [await stand.ended(deps, uuid, 30) for uuid in uuids]
    assert {run.status for run in ends} == {runs.Status.SUCCEEDED}
    assert (at_once[1], len(flow.called)) == (most, number)


async def test_the_time_of_who_waits_for_a_seat_does_not_run(tmp_path: Path) -> None:
    """Nor is it given back a second time, should the process die after that."""
    flow, all_taken = Probe("first"), asyncio.Event()
    parks, number = waits("the machine", lambda: False), suspects.SEATS + 1

    async def act(ctx: StepContext) -> None:
        if len(flow.called) == suspects.SEATS:
            all_taken.set()
        if len(flow.called) <= suspects.SEATS:  # who has a seat keeps it for as long as it may
            await asyncio.sleep(suspects.HEAD_START * 1.5)
        await parks(ctx)

    flow.acts["first"] = act
    async with stand.site(tmp_path) as deps:
        uuids, ahead = await died(deps, number, 4), [0.0]
        late = stand.with_clock(deps, lambda: deps.clock() + sum(ahead))
        runner = Runner(late, stand.kit(late), {runs.Kind.POWER: flow})
        leases = await deps.store.run(claim_store.claim, "host/1", deps.clock() + 60, 60.0, number)
        before = {lease.run_id: await deps.store.read(run_store.get, lease.run_id) for lease in leases}
        going = [asyncio.create_task(runner.run(lease)) for lease in leases]
        await all_taken.wait()
        ahead.append(1000.0)
        await asyncio.gather(*going)
        after = [await stand.parked(deps, uuid) for uuid in uuids]
        [waited] = [run for run in after if run.deadline - before[run.id].deadline >= 1000]
        lost = deaths.reckon(waited, [], late.clock() + 7, died=True).seconds
    assert waited.deadline - before[waited.id].deadline < 1100
    assert 7 <= lost < 100


async def test_who_waited_for_a_seat_is_not_blamed_for_the_next_death(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        [uuid] = await died(deps, 1, 4)
        run = await deps.store.read(run_store.find_open, uuid)
        assert run is not None
        entries = await deps.store.read(journals.get, run.id)
        waited, went_on = run, msgspec.structs.replace(run, memo=deaths.seated(run, 0.0, deps.clock()).memo)
        counts: list[Any] = [
            deaths.reckon(one, entries, deps.clock(), died=True).memo[runs.DEATHS] for one in (waited, went_on)
        ]
    assert [note["times"] for note in counts] == [3, 4]
    assert all(deaths.is_suspect(one, entries) for one in (waited, went_on))


async def test_nor_is_who_went_on_was_let_go_and_waits_for_a_seat_again(tmp_path: Path) -> None:
    flow = Probe("first")
    flow.acts["first"] = waits("the machine", lambda: False)
    async with stand.site(tmp_path) as deps:
        uuids = await died(deps, 2, 4)
        runner = Runner(deps, stand.kit(deps), {runs.Kind.POWER: flow})

        async def claim() -> list[run_store.Lease]:
            return await deps.store.run(claim_store.claim, "host/1", deps.clock() + 60, 60.0, 2)

        for lease in await claim():
            await runner.run(lease)
        parked = [await stand.parked(deps, uuid) for uuid in uuids]
        assert await runner.load(await claim())
        taken_up = [await deps.store.read(run_store.get, run.id) for run in parked]
        for before, after in zip(parked, taken_up, strict=True):
            entries = await deps.store.read(journals.get, after.id)
            notes: list[Any] = [
                deaths.reckon(run, entries, deps.clock(), died=True).memo[runs.DEATHS] for run in (before, after)
            ]
            assert [note["times"] for note in notes] == [4, 3]
            assert (after.deadline, after.wait) == (before.deadline, before.wait)
            assert deaths.is_suspect(after, entries)
