"""Power that somebody changes while a run waits for its ramdisk or for an operator: the run does it, and waits on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, update

from flows import stand
from ingot.deps import Deps
from ingot.domain import errors, power, runs, states
from ingot.flows import deaths
from ingot.services import heartbeat, provisioning
from ingot.store import claims, journals, nodes, rows
from ingot.store import runs as run_store
from ingot.store.schema import runs as table

S = states.State
_HEARTBEAT = {"fake_wait": "heartbeat"}
_STEP = {"interface": "deploy", "step": "hold"}
_WEEK = 7 * 86_400.0
_NEXT = {"interface": "power", "step": "reboot"}
WAITING: list[tuple[str, states.State, dict[str, Any], states.State]] = [
    ("inspect", S.MANAGEABLE, {}, S.INSPECT_WAIT),
    ("active", S.AVAILABLE, {}, S.WAIT_CALL_BACK),
    ("rescue", S.ACTIVE, {"rescue_password": "x"}, S.RESCUE_WAIT),
    ("service", S.ACTIVE, {"service_steps": [_STEP]}, S.SERVICE_HOLD),
    ("clean", S.MANAGEABLE, {"clean_steps": [_STEP]}, S.CLEAN_HOLD),
]


async def _waiting(deps: Deps, verb: str, state: states.State, params: dict[str, Any], **info: Any) -> str:
    uuid = await stand.add_node(deps, state, driver_info={**_HEARTBEAT, **info}, rescue_interface="fake")
    await provisioning.request(deps, uuid, verb, params)
    await stand.parked(deps, uuid)
    return uuid


async def _settled(deps: Deps, uuid: str) -> None:
    async def done() -> bool:
        found = await stand.get_node(deps, uuid)
        return found.target_power_state is None and found.reservation is None

    await stand.until(done)


@pytest.mark.parametrize(("verb", "state", "params", "after"), WAITING)
async def test_a_node_that_waits_can_be_switched_and_waits_on(
    tmp_path: Path, verb: str, state: states.State, params: dict[str, Any], after: states.State
) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        uuid = await _waiting(deps, verb, state, params)
        before = await stand.parked(deps, uuid)
        for target in (power.Target.ON, power.Target.REBOOT, power.Target.OFF):
            await provisioning.request_power(deps, uuid, target)
            await _settled(deps, uuid)
            assert stand.effects(tmp_path, uuid)[-1] == f"power {target}"
        found, run = await stand.get_node(deps, uuid), await stand.parked(deps, uuid)
        assert (found.provision_state, found.power_state, found.last_error) == (after, "power off", None)
        assert (run.id, run.wait and run.wait.since) == (before.id, before.wait and before.wait.since)
        assert (await stand.events(deps, uuid))[-1].startswith('Power: "power off", asked for while the ')


async def test_a_hold_that_ends_in_the_middle_of_a_change_is_no_time_of_the_run(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        uuid = await _waiting(deps, "service", S.ACTIVE, {"service_steps": [_STEP, _NEXT]}, fake_delay=0.7)
        await deps.store.run(_hold_since_last_week, uuid)
        await provisioning.request_power(deps, uuid, power.Target.ON)
        await stand.until(lambda: _is_taken(deps, uuid))
        await provisioning.request(deps, uuid, "unhold", {})
        run = await stand.ended(deps, uuid)
        assert (run.status, run.reason) == (runs.Status.SUCCEEDED, None)


async def test_a_failed_change_is_told_and_the_run_ends_well_all_the_same(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        uuid = await _waiting(deps, "inspect", S.MANAGEABLE, {}, fake_fault="power.set")
        await provisioning.request_power(deps, uuid, power.Target.ON)
        await _settled(deps, uuid)
        found = await stand.get_node(deps, uuid)
        assert (found.provision_state, found.power_state) == (S.INSPECT_WAIT, "power off")
        assert "was told to fail power.set" in (found.last_error or "")
        await deps.store.run(nodes.change, uuid, agent_heartbeat_at=deps.clock())
        deps.bus.ring(uuid)
        assert (await stand.ended(deps, uuid)).status == runs.Status.SUCCEEDED


async def test_a_ramdisk_that_is_switched_off_ends_its_agent_s_right_to_speak(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        uuid = await _waiting(deps, "inspect", S.MANAGEABLE, {})
        _, first = await heartbeat.lookup(deps, [], uuid, "192.0.2.9")
        await deps.store.run(nodes.change, uuid, agent_url="http://192.0.2.9:9999", agent_token_told=None)
        for target, told in ((power.Target.ON, "******"), (power.Target.REBOOT, "a new one")):
            await provisioning.request_power(deps, uuid, target)
            await _settled(deps, uuid)
            _, again = await heartbeat.lookup(deps, [], uuid, "192.0.2.9")
            assert again != first and (again == "******") == (told == "******")
        assert (await stand.get_node(deps, uuid)).agent_url is None


async def test_a_change_asked_for_while_no_conductor_lives_is_made_by_the_next(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        async with stand.conductor(deps):
            uuid = await _waiting(deps, "inspect", S.MANAGEABLE, {})
        await provisioning.request_power(deps, uuid, power.Target.ON)
        found = await stand.get_node(deps, uuid)
        assert (found.target_power_state, found.reservation) == ("power on", deps.hostname)
        with pytest.raises(errors.Locked):
            await provisioning.request_power(deps, uuid, power.Target.OFF)
        async with stand.conductor(deps):
            await _settled(deps, uuid)
        assert stand.effects(tmp_path, uuid).count("power power on") == 1


async def test_a_verb_that_ends_the_wait_ends_the_change_with_it(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        async with stand.conductor(deps):
            uuid = await _waiting(deps, "active", S.AVAILABLE, {})
        await provisioning.request_power(deps, uuid, power.Target.ON)
        await provisioning.request(deps, uuid, "deleted", {})
        found = await stand.get_node(deps, uuid)
        assert (found.provision_state, found.target_power_state) == (S.DELETING, None)


async def test_power_is_not_changed_where_another_node_has_to_be_switched_first(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        parent = await stand.add_node(deps, S.MANAGEABLE)
        uuid = await _waiting(deps, "inspect", S.MANAGEABLE, {})
        await deps.store.run(nodes.change, uuid, parent_node=parent)
        await provisioning.request_power(deps, uuid, power.Target.ON)
        await _settled(deps, uuid)
        assert parent in ((await stand.get_node(deps, uuid)).last_error or "")
        assert "power power on" not in stand.effects(tmp_path, uuid)


async def _stopped_in_the_middle(deps: Deps) -> str:
    """A node that waits, whose conductor has ended while it switched it on."""
    async with stand.conductor(deps):
        uuid = await _waiting(deps, "inspect", S.MANAGEABLE, {}, fake_delay=0.3)
        await provisioning.request_power(deps, uuid, power.Target.ON)
        await stand.until(lambda: _is_taken(deps, uuid))
    return uuid


async def test_a_change_that_a_stop_cut_is_made_again(tmp_path: Path) -> None:
    async with stand.site(tmp_path, drain=0.0) as deps:
        uuid = await _stopped_in_the_middle(deps)
        assert (await stand.get_node(deps, uuid)).target_power_state == "power on"
        async with stand.conductor(deps):
            await _settled(deps, uuid)
        assert stand.effects(tmp_path, uuid)[-1] == "power power on"


async def test_a_change_that_a_stop_cut_is_not_replaced_by_another(tmp_path: Path) -> None:
    async with stand.site(tmp_path, drain=0.0) as deps:
        uuid = await _stopped_in_the_middle(deps)
        assert (await stand.get_node(deps, uuid)).reservation is None
        with pytest.raises(errors.Locked):
            await provisioning.request_power(deps, uuid, power.Target.OFF)
        assert (await stand.get_node(deps, uuid)).target_power_state == "power on"


async def test_the_end_of_a_run_that_nobody_can_take_up_ends_the_change_with_it(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        async with stand.conductor(deps):
            uuid = await _waiting(deps, "inspect", S.MANAGEABLE, {})
        await provisioning.request_power(deps, uuid, power.Target.ON)
        await deps.store.run(nodes.change, uuid, secrets="of another key")
        await deps.store.run(_make_late, uuid)
        async with stand.conductor(deps):
            assert (await stand.ended(deps, uuid)).status == runs.Status.FAILED
        found = await stand.get_node(deps, uuid)
        assert (found.provision_state, found.target_power_state, found.reservation) == (S.INSPECT_FAILED, None, None)


async def test_a_change_that_seems_to_kill_conductors_is_given_up_and_the_run_waits_on(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        async with stand.conductor(deps):
            uuid = await _waiting(deps, "inspect", S.MANAGEABLE, {})
        await provisioning.request_power(deps, uuid, power.Target.ON)
        await deps.store.run(_blame, uuid)
        async with stand.conductor(deps):
            await _settled(deps, uuid)
            await stand.parked(deps, uuid)
        found = await stand.get_node(deps, uuid)
        assert (found.provision_state, found.power_state) == (S.INSPECT_WAIT, "power off")
        assert "died 100 times in the middle of a change of power" in (found.last_error or "")


async def test_a_change_may_take_as_long_as_a_run_of_its_own(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        async with stand.conductor(deps):
            uuid = await _waiting(deps, "inspect", S.MANAGEABLE, {})
        await provisioning.request_power(deps, uuid, power.Target.SOFT_OFF, 86_400.0)
        run = await stand.parked(deps, uuid)
        asked = run.memo[runs.POWER_ASKED]
        assert run.wait is not None
        assert asked == {"target": "soft power off", "timeout": 900.0, "wait": run.wait.what}


async def test_a_change_is_given_up_where_a_conductor_that_knows_of_none_went_on_with_the_run(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        async with stand.conductor(deps):
            uuid = await _waiting(deps, "inspect", S.MANAGEABLE, {})
        await provisioning.request_power(deps, uuid, power.Target.ON)
        now = deps.clock()
        [lease] = await deps.store.run(claims.claim, "older/1", now, 60.0, 1)
        later = runs.Wait("the end of what came next", now, now + 600.0)
        await deps.store.run(run_store.park, lease, later, now)
        async with stand.conductor(deps):
            await _settled(deps, uuid)
        found = await stand.get_node(deps, uuid)
        assert "power power on" not in stand.effects(tmp_path, uuid)
        assert "has gone on without it. Look at its state, then ask again." in (found.last_error or "")


def _hold_since_last_week(connection: Connection, uuid: str) -> None:
    """Make the run's hold, and its deadline with it, a week older."""
    run = run_store.find_open(connection, uuid)
    assert run is not None
    assert run.wait is not None
    wait = msgspec.structs.replace(run.wait, since=run.wait.since - _WEEK)
    values = {**rows.encode({"wait": wait}), "deadline": run.deadline - _WEEK}
    connection.execute(update(table).where(table.c.id == run.id).values(values))


def _blame(connection: Connection, uuid: str) -> None:
    """Note that processes died as often as is borne in the place where the run is."""
    run = run_store.find_open(connection, uuid)
    assert run is not None
    place = [len(journals.get(connection, run.id)), len(run.memo)]
    memo = {**run.memo, runs.DEATHS: {"at": run.started_at, "place": place, "times": deaths.MOST}}
    connection.execute(update(table).where(table.c.id == run.id).values(**rows.encode({"memo": memo})))


def _make_late(connection: Connection, uuid: str) -> None:
    connection.execute(update(table).where(table.c.open_node == uuid).values(deadline=0.0))


async def _is_taken(deps: Deps, uuid: str) -> bool:
    run = await deps.store.read(run_store.find_open, uuid)
    return run is not None and run.owner is not None
