"""Several conductors on one database: whose node is whose, takeover from the dead, handing over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from flows import stand
from ingot import app
from ingot.conductor.membership import Membership
from ingot.conductor.service import Conductor
from ingot.deps import Deps
from ingot.domain import errors, hashring, ids, power, runs
from ingot.services import provisioning
from ingot.store import claims as claim_store
from ingot.store import conductors, history, nodes, power_runs
from ingot.store import runs as run_store
from ingot.store.paging import Page


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncGenerator[Deps]:
    async with stand.site(tmp_path, lease=1.0) as made:
        yield made


def of_group(deps: Deps, group: str) -> Deps:
    """The same site as a process of another conductor group sees it."""
    return msgspec.structs.replace(deps, settings=msgspec.structs.replace(deps.settings, conductor_group=group))


async def works_here(deps: Deps, uuid: str) -> str:
    """Which host worked on the node, by its history."""
    await provisioning.request(deps, uuid, "active", {})
    assert (await stand.ended(deps, uuid, 30)).status == runs.Status.SUCCEEDED

    [worker] = {line.conductor for line in await deps.store.read(history.list_page, uuid, Page()) if line.conductor}
    return worker


async def test_each_node_is_worked_on_by_its_own_conductor(tmp_path: Path) -> None:
    # A long lease: on a busy host what a conductor leaves lying for a short one would be taken by the other.
    async with stand.site(tmp_path, lease=9.0) as deps, stand.conductor(deps, "east"), stand.conductor(deps, "west"):
        ring = await stand.until(lambda: _ring_of(deps, 2))
        await asyncio.sleep(3)  # by then the first one has looked, too
        assert ring.groups == (("", ("east", "west")),)
        uuids = [await stand.add_node(deps) for _ in range(12)]
        found = await asyncio.gather(*(works_here(deps, uuid) for uuid in uuids))
        assert found == [ring.find("", uuid) for uuid in uuids]


async def test_a_group_is_worked_on_by_its_conductors_alone(deps: Deps) -> None:
    async with stand.conductor(deps, "plain"):
        uuid = await stand.add_node(deps, conductor_group="Rack1")
        await provisioning.request(deps, uuid, "active", {})
        assert await deps.store.run(claim_store.claim, "plain/x", deps.clock() + 60, 1.0, 9, _share(deps, "")) == []
        run = await deps.store.read(run_store.find_open, uuid)
        assert run is not None
        assert (run.owner, run.generation) == (None, 0)
        async with stand.conductor(of_group(deps, "rack1"), "racked"):
            assert (await stand.ended(deps, uuid, 30)).status == runs.Status.SUCCEEDED


async def test_who_takes_up_nothing_new_takes_up_what_other_runs_wait_for(deps: Deps) -> None:
    asked, switched, awaited = [await stand.add_node(deps) for _ in range(3)]
    await provisioning.request(deps, asked, "active", {})
    await provisioning.request_power(deps, switched, power.Target.ON)
    await deps.store.run(power_runs.open_power, awaited, power.Target.ON, None, deps.clock())  # as a run does it
    share = msgspec.structs.replace(_share(deps, ""), begun=True)
    [lease] = await deps.store.run(claim_store.claim, "b/1", deps.clock() + 1, 9.0, 9, share)
    assert lease.node_uuid == awaited
    leases = await deps.store.run(claim_store.claim, "b/1", deps.clock() + 1, 9.0, 9, _share(deps, ""))
    assert {lease.node_uuid for lease in leases} == {asked, switched}


async def test_what_its_own_conductor_leaves_lying_is_taken_a_lease_later(deps: Deps) -> None:
    uuid = await stand.add_node(deps)
    await provisioning.request(deps, uuid, "active", {})
    run = await deps.store.read(run_store.find_open, uuid)
    assert run is not None
    other = tuple(one for one in hashring.SLOTS if one != hashring.slot(uuid))
    for slots in (other, ()):
        share = claim_store.Share("", ("fake-hardware",), slots)
        assert await deps.store.run(claim_store.claim, "b/1", run.wake_at + 0.9, 1.0, 9, share) == []
        assert await deps.store.read(claim_store.next_wake, 1.0, share) == run.wake_at + 1.0
    assert await deps.store.read(claim_store.next_wake, 1.0, _share(deps, "other")) is None
    lacking = claim_store.Share("", ("ipmi",))
    assert await deps.store.run(claim_store.claim, "b/1", run.wake_at + 9, 1.0, 9, lacking) == []
    share = claim_store.Share("", ("fake-hardware",), other)
    [lease] = await deps.store.run(claim_store.claim, "b/1", run.wake_at + 1.0, 1.0, 9, share)
    assert lease.generation == 1


async def test_a_process_that_was_held_up_does_not_take_its_own_run_again(deps: Deps) -> None:
    uuid = await stand.add_node(deps)
    await provisioning.request(deps, uuid, "active", {})
    [lease] = await deps.store.run(claim_store.claim, "b/1", deps.clock(), 1.0, 9, _share(deps, ""))
    late = deps.clock() + 60
    share = msgspec.structs.replace(_share(deps, ""), held=frozenset({lease.run_id}))
    assert await deps.store.run(claim_store.claim, "b/1", late, 1.0, 9, share) == []
    assert await deps.store.run(claim_store.renew, [lease], late + 1) == []
    [again] = await deps.store.run(claim_store.claim, "c/1", late + 2, 1.0, 9, _share(deps, ""))
    assert (await deps.store.run(claim_store.renew, [lease, again], late + 9)) == [lease]
    await deps.store.run(run_store.finish, again, runs.Status.ABORTED, "tested", late)
    assert await deps.store.run(claim_store.renew, [again], late + 9) == [], "it ended, and its worker knows"


async def test_a_dead_conductor_has_no_nodes_and_is_shown_as_dead(deps: Deps) -> None:
    dead = Membership(deps, "dead", ids.new())
    await dead.join()
    uuid = await stand.add_node(deps)
    assert dead.has("", uuid)
    now = deps.clock()
    later = stand.with_clock(deps, lambda: now + 2.0)
    alive = Membership(later, "alive", ids.new())
    await alive.join()
    assert alive.has("", uuid)
    assert (await later.members.ring()).hostnames == ("alive",)
    await dead.retire()
    assert (await deps.store.read(conductors.get, "dead")).online is False


async def test_what_the_dead_held_is_taken_up_as_soon_as_they_are_missed(tmp_path: Path) -> None:
    lease = 2.0
    async with stand.site(tmp_path, lease=lease) as deps:
        dead = Membership(deps, "dead", ids.new())
        await dead.join()
        async with stand.conductor(deps, "alive"):
            await stand.until(lambda: _ring_of(deps, 2))
            await dead.join()  # its last sign of life
            uuids = [await stand.add_node(deps) for _ in range(16)]
            owners, _ = hashring.shares(("alive", "dead"))
            uuid, other = (
                next(one for one in uuids if owners[hashring.slot(one)] == name) for name in ("dead", "alive")
            )
            await provisioning.request(deps, uuid, "active", {})
            [_] = await deps.store.run(claim_store.claim, dead.owner, deps.clock(), lease, 9)
            deps.bus.ring(other)  # the other one looks now, and plans when to look again
            began = time.monotonic()
            assert (await stand.ended(deps, uuid, 30)).status == runs.Status.SUCCEEDED
            took = time.monotonic() - began
    assert lease / 2 < took < 1.8 * lease, f"neither before the lease ends nor a lease later: {took:.1f} s"


async def test_who_could_not_beat_itself_takes_nobody_for_dead_at_once(deps: Deps) -> None:
    """As after a database that was away: all fell silent, and one is the first to be heard again."""
    now = [deps.clock()]
    later = stand.with_clock(deps, lambda: now[0])
    east, west = (Membership(later, name, ids.new(), every=0.05) for name in ("east", "west"))
    await east.join()
    await west.join()
    uuid = next(one for one in iter(ids.new, "") if not west.has("", one))
    beating = asyncio.create_task(west.run())

    async def beaten(times: int) -> None:
        """Wait for so many signs of life of now."""
        for _ in range(times):
            now[0] += 0.001
            await stand.until(_seen(deps, "west", now[0]))

    try:
        await beaten(2)
        assert not west.has("", uuid)
        now[0] += 7.0
        await beaten(3)
        assert not west.has("", uuid), "the other one may be as late as this one"
        now[0] += 0.06
        await stand.until(lambda: west.has("", uuid))
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def test_who_leaves_is_not_back_while_it_ends_what_it_holds(deps: Deps) -> None:
    leaving = Membership(deps, "leaving", ids.new(), every=0.02)
    await leaving.join()
    beating = asyncio.create_task(leaving.run())
    try:
        await leaving.retire()
        left = (await deps.store.read(conductors.get, "leaving")).seen_at
        await stand.until(_seen(deps, "leaving", left + 0.05))
        assert (await deps.store.read(conductors.get, "leaving")).online is False
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def test_draining_ends_the_step_in_hand_and_hands_over(tmp_path: Path, deps: Deps) -> None:
    uuid = await stand.add_node(deps, driver_info={"fake_delay": 1.0})
    leaving = Conductor(deps, stand.kit(deps), "leaving")
    task = asyncio.create_task(leaving.run())
    await stand.until(lambda: task.done() or deps.members.known.hostnames)
    await provisioning.request(deps, uuid, "active", {})
    await stand.until(lambda: stand.effects(tmp_path, uuid), 30)
    await leaving.drain()
    run = await deps.store.read(run_store.find_open, uuid)
    assert run is not None
    assert (run.owner, run.wake_at > 0, run.generation) == (None, True, 1)
    marks = [mark for _, mark in await stand.journal(deps, uuid)]
    assert marks.count("started") == marks.count("succeeded"), "no step was cut"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await deps.store.run(nodes.change, uuid, driver_info={})
    async with stand.conductor(deps, "staying"):
        assert (await stand.ended(deps, uuid, 30)).status == runs.Status.SUCCEEDED
    assert stand.effects(tmp_path, uuid).count("image written") == 1


async def _ring_of(deps: Deps, number: int) -> hashring.Ring | None:
    """The ring, once so many conductors are in it."""
    await deps.members.refresh()
    return deps.members.known if len(deps.members.known.hostnames) == number else None


def _seen(deps: Deps, hostname: str, at: float) -> Callable[[], Awaitable[bool]]:
    """Whether a conductor gave a sign of life at that time or later."""

    async def seen() -> bool:
        return (await deps.store.read(conductors.get, hostname)).seen_at >= at

    return seen


def _share(deps: Deps, group: str) -> claim_store.Share:
    return claim_store.Share(group, deps.registry.enabled)


async def test_a_host_with_another_key_refuses_to_start(tmp_path: Path, deps: Deps) -> None:
    await stand.add_node(deps, driver_info={"ipmi_password": "x"})
    (tmp_path / "secret.key").write_bytes(bytes(32))
    with pytest.raises(errors.Invalid, match=r"secret\.key is not the one that sealed this database"):
        await asyncio.wait_for(app.run(deps.settings, "conductor"), 30)
