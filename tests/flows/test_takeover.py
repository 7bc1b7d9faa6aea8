"""Takeover: a stopped conductor loses its runs, its late writes are refused, and nothing destructive happens twice."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows import stand, test_torture, torture
from flows.torture import Bench, Scenario, Workshop
from ingot.domain import errors, runs, states
from ingot.flows import journal
from ingot.services import heartbeat, provisioning
from ingot.store import claims as claim_store
from ingot.store import journals
from ingot.store import runs as run_store
from ingot.store.engine import Store

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]
S = states.State
LEASE = {"lease": 0.6}


@pytest.fixture
def workshops() -> Iterator[tuple[Workshop, Workshop]]:
    made = Workshop(), Workshop()
    yield made
    for one in made:
        one.close()


@pytest.mark.parametrize("name", test_torture.SCENARIOS)
async def test_a_stopped_owner_is_replaced_and_refused(
    workshops: tuple[Workshop, Workshop], tmp_path: Path, name: str
) -> None:
    """Every flow, at some of its writes; the deployment at all of them."""
    await rob(workshops, tmp_path, name, 1 if name == "deploy" else 4)


@pytest.mark.long
@pytest.mark.parametrize("name", test_torture.SCENARIOS)
async def test_the_same_at_every_write(workshops: tuple[Workshop, Workshop], tmp_path: Path, name: str) -> None:
    await rob(workshops, tmp_path, name, 1)


async def rob(workshops: tuple[Workshop, Workshop], folder: Path, name: str, every: int) -> None:
    scenario = test_torture.SCENARIOS[name]
    bench = Bench(folder, workshops[0], replace(scenario, settings={**scenario.settings, **LEASE}))
    await bench.set_up()
    await bench.be_robbed(workshops[1], every=every)


async def test_work_goes_on_within_five_seconds_of_a_restart(
    workshops: tuple[Workshop, Workshop], tmp_path: Path
) -> None:
    """Under the same hostname nobody waits for a lease to run out (here an hour)."""
    bench = Bench(tmp_path, workshops[0], Scenario(S.AVAILABLE, "active", settings={"lease": 3600.0}))
    await bench.set_up()
    folder = bench.copy("killed")
    settings = bench.scenario.settings
    killed, _ = bench.workshop.run(folder, bench.uuid, kill_at=bench.writes // 2, settings=settings)
    assert killed == signal.SIGKILL
    began = time.monotonic()
    assert bench.workshop.run(folder, bench.uuid, settings=settings)[0] == 0
    assert time.monotonic() - began < 5
    assert (await torture.look(folder, bench.uuid, bench.scenario)).facts() == bench.undisturbed.facts()


@pytest.mark.parametrize(
    ("verb", "state", "waiting", "end"),
    [
        ("active", S.AVAILABLE, S.WAIT_CALL_BACK, S.ACTIVE),
        ("provide", S.MANAGEABLE, S.CLEAN_WAIT, S.AVAILABLE),
        ("inspect", S.MANAGEABLE, S.INSPECT_WAIT, S.MANAGEABLE),
    ],
)
async def test_killed_while_waiting_it_goes_on_waiting(
    workshops: tuple[Workshop, Workshop],
    tmp_path: Path,
    verb: str,
    state: states.State,
    waiting: states.State,
    end: states.State,
) -> None:
    scenario = Scenario(state, verb, fields={"driver_info": {"fake_wait": "heartbeat"}})
    uuid = await torture.prepare(tmp_path / "site", scenario)
    pid = workshops[0].start(tmp_path / "site", uuid)
    async with stand.site(tmp_path / "site") as deps:
        run = await stand.parked(deps, uuid)
        os.kill(pid, signal.SIGKILL)
        assert workshops[0].end()[0] == signal.SIGKILL
        assert (await stand.get_node(deps, uuid)).provision_state == waiting
        workshops[0].start(tmp_path / "site", uuid)
        since = (await stand.parked(deps, uuid)).wait
        assert since is not None and run.wait is not None
        assert since.since == run.wait.since
        _, token = await heartbeat.lookup(deps, [], uuid)
        await heartbeat.beat(deps, uuid, {"callback_url": "https://192.0.2.1:9999", "agent_token": token})
        assert workshops[0].end()[0] == 0
        assert (await stand.ended(deps, uuid)).status == runs.Status.SUCCEEDED
        assert (await stand.get_node(deps, uuid)).provision_state == end
        assert stand.effects(tmp_path / "site", uuid).count("ramdisk on") == 1


async def test_an_old_generation_can_write_nothing(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps)
        await provisioning.request(deps, uuid, "active", {})
        [old] = await deps.store.run(claim_store.claim, "slow/1", deps.clock(), 1.0, 10)
        [new] = await deps.store.run(claim_store.claim, "quick/1", deps.clock() + 2, 1.0, 10)
        assert new.generation == old.generation + 1
        entry = runs.Entry(1, 0, runs.Mark.STARTED, 0.0)
        wait = runs.Wait("x", 0, 1)
        attempts = [
            (run_store.change, (), {"reason": "late"}),
            (journals.append, (entry,), {}),
            (run_store.park, (wait, 1.0), {}),
            (run_store.resume, (), {}),
            (run_store.release, ({}, 1.0), {}),
            (run_store.finish, (runs.Status.SUCCEEDED, None, 1.0), {}),
            (run_store.check, (), {}),
        ]
        for unit, values, named in attempts:
            with pytest.raises(errors.LostLease):
                await deps.store.run(unit, old, *values, **named)  # pyright: ignore[reportArgumentType] # a table
        assert await deps.store.run(claim_store.renew, [old, new], deps.clock() + 9) == [old]
        run = await deps.store.read(run_store.get, new.run_id)
        assert (run.owner, run.status, run.reason, run.wait) == ("quick/1", runs.Status.OPEN, None, None)
        assert await deps.store.run(claim_store.release_all, "quick/1") == 1
        with pytest.raises(errors.LostLease):
            await deps.store.run(run_store.check, new)


async def test_a_lease_that_ran_out_unseen_is_renewed_before_hardware_is_touched(tmp_path: Path) -> None:
    """As after a database that was away: nobody could renew it, and nobody has taken the run over yet."""
    now = [time.time()]
    async with stand.site(tmp_path, lease=6.0) as here:
        deps = stand.with_clock(here, lambda: now[0])
        uuid = await stand.add_node(deps)
        await provisioning.request(deps, uuid, "active", {})

        async def claimed(owner: str) -> list[run_store.Lease]:
            return await deps.store.run(claim_store.claim, owner, now[0], 6.0, 10)

        async def opened(lease: run_store.Lease) -> journal.RunJournal:
            run = await deps.store.read(run_store.get, lease.run_id)
            return journal.RunJournal(deps, lease, run, [], await stand.get_node(deps, uuid))

        [lease] = await claimed("slow/1")
        made = await opened(lease)
        for go_on in (made.check, functools.partial(made.note, "A write is told to go on, too.")):
            now[0] += 20
            await go_on()
            assert await claimed("quick/1") == [], "who has just been told to go on is not overtaken"
        for _ in range(2):
            deps.pace.beaten(10.0)
        now[0] += 20
        await made.check()
        now[0] += 20
        assert await claimed("quick/1") == [], "nor is one so soon that is late again and again"
        now[0] += 20
        [new] = await claimed("quick/1")
        late = await opened(lease)
        for each in (made, late):
            with pytest.raises(errors.LostLease):
                await each.check()
        assert new.generation == lease.generation + 1


async def test_a_run_that_was_given_back_is_not_renewed(tmp_path: Path) -> None:
    """Nothing more is done to hardware then, and each renewal would stand in line for the database's writer."""

    class Counting(Store):
        renewals = 0

        async def run(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
            self.renewals += unit is claim_store.renew
            return await super().run(unit, *args, **kwargs)

    now = [time.time()]
    async with stand.site(tmp_path, lease=6.0) as here:
        store = Counting(here.store.where)
        deps = msgspec.structs.replace(stand.with_clock(here, lambda: now[0]), store=store)
        uuid = await stand.add_node(deps)
        await provisioning.request(deps, uuid, "active", {})
        [lease] = await store.run(claim_store.claim, "slow/1", now[0], 6.0, 1)
        run = await store.read(run_store.get, lease.run_id)
        made = journal.RunJournal(deps, lease, run, [], await stand.get_node(deps, uuid))
        now[0] += 5
        await made.park(runs.Wait("the end", now[0], now[0] + 60), now[0])
        assert store.renewals == 0
        store.close()
