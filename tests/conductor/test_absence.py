"""Time in which nobody worked, and clocks that are set: no run is too late, or waits too long, because of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from flows import stand
from ingot.conductor.membership import Membership
from ingot.deps import Deps
from ingot.domain import runs
from ingot.flows import deaths
from ingot.services import provisioning
from ingot.store import absence, journals
from ingot.store import claims as claim_store
from ingot.store import runs as run_store
from ingot.telemetry.clock import Steady

HOUR = 3600.0
AGENT = {"driver_info": {"fake_wait": "heartbeat"}}


def test_the_service_s_clock_goes_on_from_what_was_seen_and_never_back() -> None:
    clock = Steady()
    assert abs(clock() - time.time()) < 1
    clock.not_before(time.time() + HOUR)
    assert abs(clock() - (time.time() + HOUR)) < 1
    clock.not_before(time.time())
    assert clock() > time.time() + HOUR - 1


@contextlib.asynccontextmanager
async def waiting(folder: Path) -> AsyncIterator[tuple[Deps, str, runs.Run]]:
    """A deployment that waits for its agent, after its conductor has gone."""
    async with stand.site(folder) as deps:
        uuid = await stand.add_node(deps, **AGENT)
        async with stand.conductor(deps):
            await provisioning.request(deps, uuid, "active", {})
            run = await stand.parked(deps, uuid)
        yield deps, uuid, run


async def test_a_night_without_any_conductor_is_no_time_of_a_run(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (deps, uuid, before):
        morning = stand.with_clock(deps, lambda: time.time() + 12 * HOUR)
        await Membership(morning, "host", "boot-2").join()
        after = await deps.store.read(run_store.get, before.id)
        assert before.wait is not None
        assert after.wait is not None
        assert abs(after.deadline - before.deadline - 12 * HOUR) < 5
        assert abs(after.wait.deadline - before.wait.deadline - 12 * HOUR) < 5
        async with stand.conductor(morning):
            await stand.until((tmp_path / "effects").exists)
        assert (await stand.get_node(deps, uuid)).provision_state == "wait call-back"


async def test_a_night_is_given_back_once_though_the_next_owner_dies(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (deps, _, before):
        morning = stand.with_clock(deps, lambda: time.time() + 12 * HOUR)
        await Membership(morning, "host", "boot-2").join()
        await deps.store.run(claim_store.claim, "host/boot-2", morning.clock() + 60.0, -1.0, 9)  # and dies
        [lease] = await deps.store.run(claim_store.claim, "east/boot-1", morning.clock() + 60.0, 6.0, 9)
        assert lease.inherited
        run = await deps.store.read(run_store.get, lease.run_id)
        entries = await deps.store.read(journals.get, lease.run_id)
        lost = deaths.reckon(run, entries, morning.clock() + 60.0, died=True)
        assert 55 < lost.seconds < 65
        assert abs(run.deadline + lost.seconds - before.deadline - 12 * HOUR - 60.0) < 10


async def test_what_nobody_had_taken_up_is_given_its_time_once(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        await Membership(deps, "host", "boot-1").join()
        uuid = await stand.add_node(deps, **AGENT)
        await provisioning.request(deps, uuid, "active", {})
        before = await deps.store.read(run_store.find_open, uuid)
        assert before is not None
        later = time.time() + 12 * HOUR
        assert abs(await deps.store.run(absence.give_back, later, "host", 6.0) - 12 * HOUR) < 5
        [lease] = await deps.store.run(claim_store.claim, "host/boot-2", later, 6.0, 9)
        after = await deps.store.read(run_store.get, lease.run_id)
        assert abs(after.deadline - before.deadline - 12 * HOUR) < 5


async def test_nothing_is_given_back_while_another_conductor_lives(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (deps, _, before):
        later = stand.with_clock(deps, lambda: time.time() + HOUR)
        await Membership(later, "east", "boot-1").join()
        moved = await deps.store.read(run_store.get, before.id)
        await Membership(later, "west", "boot-1").join()
        assert await deps.store.read(run_store.get, before.id) == moved


async def test_a_clock_that_was_set_back_does_not_make_a_run_wait(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (deps, _, _):
        ahead = stand.with_clock(deps, lambda: time.time() + HOUR)
        await Membership(ahead, "host", "boot-2").join()
    async with stand.site(tmp_path) as again:  # its clock begins an hour before what is in the database
        await Membership(again, "host", "boot-3").join()
        assert again.clock() > time.time() + HOUR - 5
        assert await again.store.run(absence.give_back, again.clock(), "host", 6.0) < 5.0
