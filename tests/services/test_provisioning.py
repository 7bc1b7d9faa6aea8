"""Asking for a verb: the state and its run together, or a refusal that says why and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flows import stand
from ingot.deps import Deps
from ingot.domain import errors, power, runs, states
from ingot.services import provisioning
from ingot.store import claims, nodes
from ingot.store import runs as run_store

S = states.State
RESCUE: dict[str, Any] = {"rescue_interface": "fake"}


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    async with stand.site(tmp_path) as made:
        yield made


OPENED = [
    ("manage", S.ENROLL, S.VERIFYING, S.MANAGEABLE, runs.Kind.VERIFY),
    ("inspect", S.MANAGEABLE, S.INSPECTING, S.MANAGEABLE, runs.Kind.INSPECT),
    ("provide", S.MANAGEABLE, S.CLEANING, S.AVAILABLE, runs.Kind.CLEAN),
    ("clean", S.MANAGEABLE, S.CLEANING, S.MANAGEABLE, runs.Kind.CLEAN),
    ("active", S.AVAILABLE, S.DEPLOYING, S.ACTIVE, runs.Kind.DEPLOY),
    ("deploy", S.DEPLOY_FAILED, S.DEPLOYING, S.ACTIVE, runs.Kind.DEPLOY),
    ("rebuild", S.ACTIVE, S.DEPLOYING, S.ACTIVE, runs.Kind.DEPLOY),
    ("deleted", S.ACTIVE, S.DELETING, S.AVAILABLE, runs.Kind.TEAR_DOWN),
    ("undeploy", S.ERROR, S.DELETING, S.AVAILABLE, runs.Kind.TEAR_DOWN),
    ("rebuild", S.ERROR, S.DEPLOYING, S.ACTIVE, runs.Kind.DEPLOY),
    ("adopt", S.MANAGEABLE, S.ADOPTING, S.ACTIVE, runs.Kind.ADOPT),
    ("adopt", S.ADOPT_FAILED, S.ADOPTING, S.ACTIVE, runs.Kind.ADOPT),
    ("rescue", S.ACTIVE, S.RESCUING, S.RESCUE, runs.Kind.RESCUE),
    ("rescue", S.SERVICE_FAILED, S.RESCUING, S.RESCUE, runs.Kind.RESCUE),
    ("unrescue", S.RESCUE, S.UNRESCUING, S.ACTIVE, runs.Kind.UNRESCUE),
    ("unrescue", S.RESCUE_FAILED, S.UNRESCUING, S.ACTIVE, runs.Kind.UNRESCUE),
    ("service", S.ACTIVE, S.SERVICING, S.ACTIVE, runs.Kind.SERVICE),
    ("abort", S.SERVICE_FAILED, S.SERVICING, S.ACTIVE, runs.Kind.SERVICE),
    ("deleted", S.RESCUE, S.DELETING, S.AVAILABLE, runs.Kind.TEAR_DOWN),
]


@pytest.mark.parametrize(("verb", "state", "after", "goal", "kind"), OPENED)
async def test_a_verb_moves_the_node_and_opens_its_run(
    deps: Deps, verb: str, state: states.State, after: states.State, goal: states.State, kind: runs.Kind
) -> None:
    rings: list[str] = []
    deps.bus.listen(rings.append)
    uuid = await stand.add_node(deps, state, last_error="old", **RESCUE)
    await provisioning.request(deps, uuid, verb, {"configdrive": "geheim", "rescue_password": "x"}, user="ada")
    node = await stand.get_node(deps, uuid)
    run = await deps.store.read(run_store.find_open, uuid)
    assert run is not None
    assert (node.provision_state, node.target_provision_state, node.last_error) == (after, goal, None)
    assert (run.kind, run.owner, run.params["verb"]) == (kind, None, verb)
    assert "geheim" not in str(run.params)
    assert run.wake_at <= deps.clock() < run.deadline
    assert rings == [uuid]
    assert await stand.events(deps, uuid) == [f'Asked for "{verb}".']


async def test_who_works_on_a_node_is_shown_though_an_abort_was_asked_for(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.MANAGEABLE)
    await provisioning.request(deps, uuid, "inspect", {})
    [lease] = await deps.store.run(claims.claim, "east/1", deps.clock(), 60.0, 1)
    for state, owner in ((S.INSPECT_WAIT, "east"), (S.INSPECT_WAIT, deps.hostname)):
        await deps.store.run(nodes.move, uuid, (await stand.get_node(deps, uuid)).provision_state, state)
        await provisioning.request(deps, uuid, "abort", {})
        assert (await stand.get_node(deps, uuid)).reservation == owner
        await deps.store.run(run_store.park, lease, runs.Wait("the call", 0.0, 9.0), 9.0)


async def test_a_run_may_take_as_long_as_all_its_states_together(deps: Deps) -> None:
    """A tear down cleans, and cleaning waits for a ramdisk: its limit must not be that of "deleting" alone."""
    uuid = await stand.add_node(deps, S.ACTIVE)
    await provisioning.request(deps, uuid, "deleted", {})
    run = await deps.store.read(run_store.find_open, uuid)
    assert run is not None
    assert run.deadline - run.started_at >= 24 * 3600
    assert states.allowance(S.INSPECTING) > (states.TABLE[S.INSPECT_WAIT].deadline or 0)


REFUSED: list[tuple[str, states.State, dict[str, Any], type[errors.IngotError], str]] = [
    ("active", S.ENROLL, {}, errors.Invalid, 'can not be performed while the provision state is "enroll"'),
    ("provide", S.ACTIVE, {}, errors.Invalid, "can not be performed"),
    ("active", S.AVAILABLE, {"maintenance": True}, errors.Invalid, "in maintenance mode. Clear maintenance first"),
    ("rebuild", S.ACTIVE, {"maintenance": True}, errors.Invalid, "in maintenance mode"),
    ("rebuild", S.ACTIVE, {"protected": True}, errors.Forbidden, "Clear the field protected first"),
    ("deleted", S.ACTIVE, {"protected": True}, errors.Forbidden, "is protected"),
    ("provide", S.MANAGEABLE, {"retired": True}, errors.Invalid, "retired and cannot become available"),
    ("rescue", S.ACTIVE, {}, errors.NotSupported, "does not support rescue"),
    ("rescue", S.ACTIVE, {**RESCUE, "maintenance": True}, errors.Invalid, "in maintenance mode"),
    ("unrescue", S.RESCUE, {"maintenance": True}, errors.Invalid, "in maintenance mode"),
    ("clean", S.MANAGEABLE, {"maintenance": True}, errors.Invalid, "in maintenance mode"),
    ("service", S.ACTIVE, {"maintenance": True}, errors.Invalid, "in maintenance mode"),
    ("adopt", S.ACTIVE, {}, errors.Invalid, "can not be performed"),
    ("unhold", S.CLEAN_HOLD, {}, errors.Conflict, "has nothing to unhold"),
    ("unhold", S.CLEAN_WAIT, {}, errors.Invalid, "can not be performed"),
    ("abort", S.ACTIVE, {}, errors.Invalid, "can not be performed"),
    ("abort", S.CLEAN_WAIT, {}, errors.Conflict, "has nothing to abort"),
]


@pytest.mark.parametrize(("verb", "state", "fields", "kind", "words"), REFUSED)
async def test_a_refused_verb_says_why_and_changes_nothing(
    deps: Deps, verb: str, state: states.State, fields: dict[str, Any], kind: type[errors.IngotError], words: str
) -> None:
    uuid = await stand.add_node(deps, state, **fields)
    before = await stand.get_node(deps, uuid)
    with pytest.raises(kind) as refused:
        await provisioning.request(deps, uuid, verb, {})
    assert words in refused.value.sentence()
    assert await stand.get_node(deps, uuid) == before
    assert await deps.store.read(run_store.find_open, uuid) is None
    assert await stand.events(deps, uuid) == []


async def test_an_open_run_locks_every_other_verb(deps: Deps) -> None:
    uuid = await stand.add_node(deps)
    await provisioning.request_power(deps, uuid, power.Target.ON)
    for ask in (
        provisioning.request(deps, uuid, "active", {}),
        provisioning.request_power(deps, uuid, power.Target.OFF),
    ):
        with pytest.raises(errors.Locked, match='locked by the run "power"'):
            await ask
    node = await stand.get_node(deps, uuid)
    assert (node.provision_state, node.target_power_state) == (S.AVAILABLE, "power on")


async def test_manage_needs_no_run_where_nothing_is_to_be_done(deps: Deps) -> None:
    for state in (S.AVAILABLE, S.CLEAN_FAILED, S.INSPECT_FAILED):
        uuid = await stand.add_node(deps, state, last_error="old")
        await provisioning.request(deps, uuid, "manage", {})
        node = await stand.get_node(deps, uuid)
        assert (node.provision_state, node.last_error) == (S.MANAGEABLE, None)
        assert await deps.store.read(run_store.find_open, uuid) is None


async def test_a_rescue_password_that_no_login_could_check_is_refused(deps: Deps) -> None:
    for password, fits in (("é" * 255, True), ("é" * 256, False), ("x" * 200_000, False)):
        uuid = await stand.add_node(deps, S.ACTIVE, **RESCUE)
        if fits:
            await provisioning.request(deps, uuid, "rescue", {"rescue_password": password})
            continue
        with pytest.raises(errors.Invalid, match="may have 511 bytes"):
            await provisioning.request(deps, uuid, "rescue", {"rescue_password": password})
        assert (await stand.get_node(deps, uuid)).provision_state == S.ACTIVE


async def test_power_is_refused_where_it_would_do_harm(deps: Deps) -> None:
    cleaning = await stand.add_node(deps, S.CLEANING)
    with pytest.raises(errors.Invalid, match="can not be performed"):
        await provisioning.request_power(deps, cleaning, power.Target.OFF)
    pinned = await stand.add_node(deps, disable_power_off=True)
    for target in (power.Target.OFF, power.Target.SOFT_OFF):
        with pytest.raises(errors.Conflict, match="Power off is disabled"):
            await provisioning.request_power(deps, pinned, target)
    await provisioning.request_power(deps, pinned, power.Target.ON)
    with pytest.raises(errors.NotFound):
        await provisioning.request_power(deps, "nobody", power.Target.ON)


@pytest.mark.parametrize("target", power.Target)
async def test_power_is_changed_and_recorded(tmp_path: Path, target: power.Target) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        uuid = await stand.add_node(deps)
        await provisioning.request_power(deps, uuid, target)
        assert (await stand.ended(deps, uuid)).status == runs.Status.SUCCEEDED
        node = await stand.get_node(deps, uuid)
        assert (node.power_state, node.target_power_state) == (target.result().value, None)
        assert stand.effects(tmp_path, uuid) == [f"power {target}"]
