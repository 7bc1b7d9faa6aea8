"""Adopt, rescue, unrescue, service, and the steps that steer a plan, on imaginary machines by the real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flows import stand
from ingot.deps import Deps
from ingot.domain import errors, runs, states
from ingot.services import heartbeat, provisioning
from ingot.store import nodes
from ingot.store import runs as run_store

S = states.State
FULL: dict[str, Any] = {"rescue_interface": "fake", "bios_interface": "fake", "power_state": "power on"}
RESET = {"interface": "bios", "step": "factory_reset"}
HOLD = {"interface": "power", "step": "hold"}


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    async with stand.site(tmp_path) as made, stand.conductor(made):
        yield made


async def go(deps: Deps, uuid: str, verb: str, **params: Any) -> runs.Run:
    await provisioning.request(deps, uuid, verb, params)
    return await stand.ended(deps, uuid)


async def state(deps: Deps, uuid: str) -> states.State:
    return (await stand.get_node(deps, uuid)).provision_state


async def reach(deps: Deps, uuid: str, wanted: states.State) -> None:
    async def there() -> bool:
        return await state(deps, uuid) == wanted

    await stand.until(there)


async def test_adoption_touches_no_hardware_and_can_be_tried_again(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps, S.MANAGEABLE, driver_info={"fake_delay": "never"})
    assert "fake_delay must be a number" in ((await go(deps, uuid, "adopt")).reason or "")
    assert await state(deps, uuid) == S.ADOPT_FAILED
    await deps.store.run(nodes.change, uuid, driver_info={})
    assert (await go(deps, uuid, "adopt")).status == runs.Status.SUCCEEDED
    node = await stand.get_node(deps, uuid)
    assert (node.provision_state, node.last_error, node.target_provision_state) == (S.ACTIVE, None, None)
    assert stand.effects(tmp_path, uuid) == []


async def test_an_adopted_node_needs_its_image_named_where_a_rebuild_would_write_one(deps: Deps) -> None:
    fields = {"deploy_interface": "direct", "instance_info": {}}
    uuid = await stand.add_node(deps, S.MANAGEABLE, **fields)
    assert "no image_source" in ((await go(deps, uuid, "adopt")).reason or "")


async def test_rescue_and_back(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps, S.ACTIVE, **FULL)
    await go(deps, uuid, "rescue", rescue_password="geheim")
    assert await state(deps, uuid) == S.RESCUE
    await go(deps, uuid, "unrescue")
    assert await state(deps, uuid) == S.ACTIVE
    told = stand.effects(tmp_path, uuid)
    assert [line for line in told if "rescue" in line] == ["rescue ramdisk on", "rescue ramdisk off"]


async def test_of_a_rescue_password_only_a_hash_leaves_the_api(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, S.ACTIVE, **FULL)
        await provisioning.request(deps, uuid, "rescue", {"rescue_password": "geheim"})
        run = await deps.store.read(run_store.find_open, uuid)
        assert run is not None
        [algorithm, salt, digest] = deps.sealer.open(uuid, run.params["sealed"])["rescue_password"].split("$")[1:]
        assert (algorithm, len(salt), len(digest)) == ("6", 16, 86)


async def test_an_aborted_rescue_switches_the_machine_off(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps, S.ACTIVE, **FULL, driver_info={"fake_wait": "heartbeat"})
    await provisioning.request(deps, uuid, "rescue", {"rescue_password": "x"})
    await reach(deps, uuid, S.RESCUE_WAIT)
    await go(deps, uuid, "abort")
    node = await stand.get_node(deps, uuid)
    assert (node.provision_state, node.maintenance, node.fault) == (S.RESCUE_FAILED, False, None)
    assert stand.effects(tmp_path, uuid)[-1] == "ramdisk off"


async def test_an_abort_of_a_rescue_that_fails_itself_is_a_fault(deps: Deps) -> None:
    info = {"fake_wait": "heartbeat", "fake_fault": "deploy.stop_ramdisk"}
    uuid = await stand.add_node(deps, S.ACTIVE, **FULL, driver_info=info)
    await provisioning.request(deps, uuid, "rescue", {"rescue_password": "x"})
    await reach(deps, uuid, S.RESCUE_WAIT)
    await go(deps, uuid, "abort")
    node = await stand.get_node(deps, uuid)
    assert (node.provision_state, node.maintenance, node.fault) == (S.RESCUE_FAILED, True, "rescue abort failure")


async def test_a_step_of_the_conductors_serves_without_a_ramdisk(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps, S.ACTIVE, **FULL)
    await go(deps, uuid, "service", service_steps=[RESET], disable_ramdisk=True)
    assert await state(deps, uuid) == S.ACTIVE
    assert stand.effects(tmp_path, uuid) == ["bios settings reset"]


async def test_a_step_of_the_agents_is_refused_without_a_ramdisk(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.ACTIVE, **FULL)
    step = {"interface": "deploy", "step": "burnin_cpu"}
    run = await go(deps, uuid, "service", service_steps=[RESET, step], disable_ramdisk=True)
    assert "deploy.burnin_cpu runs in the ramdisk, and the request disables it" in (run.reason or "")
    node = await stand.get_node(deps, uuid)
    assert (node.provision_state, node.fault) == (S.SERVICE_FAILED, "service failure")


async def test_a_failed_service_is_given_up_by_abort(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps, S.ACTIVE, **FULL, driver_info={"fake_fault": "bios.factory_reset"})
    await go(deps, uuid, "service", service_steps=[RESET])
    assert await state(deps, uuid) == S.SERVICE_FAILED
    await go(deps, uuid, "abort")
    assert await state(deps, uuid) == S.ACTIVE
    assert stand.effects(tmp_path, uuid) == ["instance on", "power power on"]


DEPLOY_STEPS = [{**HOLD, "priority": 90, "args": {}}, {**RESET, "priority": 85, "args": {}}]
HELD: dict[str, tuple[states.State, states.State, states.State, dict[str, Any]]] = {
    # verb -> where the node starts, is held, ends; the request's parameters
    "clean": (S.MANAGEABLE, S.CLEAN_HOLD, S.MANAGEABLE, {"clean_steps": [HOLD, RESET]}),
    "service": (S.ACTIVE, S.SERVICE_HOLD, S.ACTIVE, {"service_steps": [HOLD, RESET]}),
    "active": (S.AVAILABLE, S.DEPLOY_HOLD, S.ACTIVE, {"deploy_steps": DEPLOY_STEPS}),
}


@pytest.mark.parametrize("verb", HELD)
async def test_a_held_node_goes_on_when_released(deps: Deps, tmp_path: Path, verb: str) -> None:
    start, held, after, params = HELD[verb]
    uuid = await stand.add_node(deps, start, **FULL)
    await provisioning.request(deps, uuid, verb, params)
    await reach(deps, uuid, held)
    waiting = await stand.parked(deps, uuid)
    assert waiting.wait is not None and waiting.wait.what.startswith('the verb "unhold" (step ')
    await heartbeat_is_no_release(deps, uuid, held)
    await provisioning.request(deps, uuid, "unhold", {})
    run = await stand.ended(deps, uuid)
    assert (run.status, await state(deps, uuid)) == (runs.Status.SUCCEEDED, after)
    assert run.deadline > waiting.deadline, "the time it was held is not the run's"
    assert "bios settings reset" in stand.effects(tmp_path, uuid)


async def heartbeat_is_no_release(deps: Deps, uuid: str, held: states.State) -> None:
    """An agent's call makes the run due; it must find that it is still held. It is accepted, not refused."""
    await deps.store.run(nodes.change, uuid, agent_token=deps.sealer.seal(uuid, "t" * 43))
    await heartbeat.beat(deps, uuid, {"callback_url": "http://192.0.2.1:9999", "agent_token": "t" * 43})
    run = await stand.parked(deps, uuid)
    assert await state(deps, uuid) == held
    assert run.wait is not None and run.wait.held
    await deps.store.run(nodes.change, uuid, agent_token=None, agent_url=None)


async def test_each_hold_holds_also_behind_a_step_that_waited(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps, S.MANAGEABLE, **FULL)
    pause = {"interface": "power", "step": "wait", "args": {"seconds": 0.1}}
    await provisioning.request(deps, uuid, "clean", {"clean_steps": [pause, HOLD, HOLD, RESET]})
    for number in (2, 3):
        await stand.until(lambda number=number: holds(deps, uuid, number))
        assert await state(deps, uuid) == S.CLEAN_HOLD
        assert stand.effects(tmp_path, uuid) == []
        await provisioning.request(deps, uuid, "unhold", {})
    assert (await stand.ended(deps, uuid)).status == runs.Status.SUCCEEDED


async def holds(deps: Deps, uuid: str, number: int) -> bool:
    """Whether the run rests in the hold of this step."""
    run = await stand.parked(deps, uuid)
    return run.wait is not None and f"(step {number} holds)" in run.wait.what


async def test_a_held_node_can_be_aborted(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps, S.MANAGEABLE, **FULL)
    await provisioning.request(deps, uuid, "clean", {"clean_steps": [HOLD, RESET]})
    await reach(deps, uuid, S.CLEAN_HOLD)
    assert (await go(deps, uuid, "abort")).status == runs.Status.ABORTED
    assert await state(deps, uuid) == S.CLEAN_FAILED
    assert stand.effects(tmp_path, uuid) == []


async def test_an_aborted_service_ends_in_active(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.ACTIVE, **FULL)
    await provisioning.request(deps, uuid, "service", {"service_steps": [HOLD]})
    await reach(deps, uuid, S.SERVICE_HOLD)
    await go(deps, uuid, "abort")
    node = await stand.get_node(deps, uuid)
    assert (node.provision_state, node.maintenance) == (S.ACTIVE, False)


async def test_a_held_service_may_be_replaced_by_another(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps, S.ACTIVE, **FULL)
    await provisioning.request(deps, uuid, "service", {"service_steps": [HOLD]})
    await reach(deps, uuid, S.SERVICE_HOLD)
    await stand.parked(deps, uuid)
    await go(deps, uuid, "service", service_steps=[RESET])
    assert (await state(deps, uuid), stand.effects(tmp_path, uuid)) == (S.ACTIVE, ["bios settings reset"])


async def test_power_and_wait_steps_steer_the_machine(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps, S.MANAGEABLE, **FULL)
    names: list[Any] = [{"interface": "power", "step": name} for name in ("power_off", "power_on", "reboot")]
    wait = {"interface": "power", "step": "wait", "args": {"seconds": 0.3}}
    run = await go(deps, uuid, "clean", clean_steps=[*names, wait])
    assert run.status == runs.Status.SUCCEEDED
    assert stand.effects(tmp_path, uuid) == ["power power off", "power power on", "power rebooting"]
    assert (run.finished_at or 0) - run.started_at >= 0.3


async def test_a_wait_of_nonsense_is_refused(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.MANAGEABLE, **FULL)
    run = await go(deps, uuid, "clean", clean_steps=[{"interface": "power", "step": "wait", "args": {"seconds": "x"}}])
    assert "needs seconds from 0 to 86400" in (run.reason or "")


async def test_a_rebuild_without_a_config_drive_keeps_the_last_one(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.AVAILABLE)
    await go(deps, uuid, "active", configdrive="Zmlyc3Q=")
    node = await stand.get_node(deps, uuid)
    assert node.instance_info == {"configdrive": "******"}
    await go(deps, uuid, "rebuild")
    sealed, _ = await deps.store.read(nodes.get_secrets, uuid)
    assert deps.sealer.open(uuid, sealed)["instance_info"] == {"configdrive": "Zmlyc3Q="}
    await deps.store.run(nodes.change, uuid, automated_clean=False)
    await go(deps, uuid, "deleted")
    sealed, _ = await deps.store.read(nodes.get_secrets, uuid)
    assert "instance_info" not in (deps.sealer.open(uuid, sealed) or {})


async def test_a_protected_node_is_not_rebuilt(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.ACTIVE, protected=True)
    with pytest.raises(errors.Forbidden):
        await provisioning.request(deps, uuid, "rebuild", {})
