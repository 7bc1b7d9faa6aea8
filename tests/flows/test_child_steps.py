"""Steps that a node's children do (``execute_on_child_nodes``), each in a run of its own, while the parent waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flows import stand
from ingot.deps import Deps
from ingot.domain import runs, states
from ingot.services import provisioning
from ingot.store import nodes
from ingot.store import runs as run_store

S = states.State
FIELDS: dict[str, Any] = {"bios_interface": "fake", "power_state": "power on"}
RESET = {"interface": "bios", "step": "factory_reset"}
ON_CHILDREN = {"execute_on_child_nodes": True}


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    async with stand.site(tmp_path) as made, stand.conductor(made):
        yield made


async def family(deps: Deps, state: states.State, **more: Any) -> tuple[str, str, str]:
    """A parent in ``state`` and two active children, the second with ``more``."""
    parent = await stand.add_node(deps, state, **FIELDS)
    first = await stand.add_node(deps, S.ACTIVE, parent_node=parent, **FIELDS)
    return parent, first, await stand.add_node(deps, S.ACTIVE, parent_node=parent, **{**FIELDS, **more})


async def go(deps: Deps, uuid: str, verb: str, *steps: dict[str, Any]) -> runs.Run:
    await provisioning.request(deps, uuid, verb, {f"{verb}_steps": list(steps)})
    return await stand.ended(deps, uuid)


@pytest.mark.parametrize(("verb", "state"), [("clean", S.MANAGEABLE), ("service", S.ACTIVE)])
async def test_all_children_do_it_or_those_that_are_named(
    deps: Deps, tmp_path: Path, verb: str, state: states.State
) -> None:
    parent, first, second = await family(deps, state)
    off = {"interface": "power", "step": "power_off", **ON_CHILDREN, "limit_child_node_execution": [second]}
    run = await go(deps, parent, verb, {**RESET, **ON_CHILDREN}, off, RESET)
    assert run.status == runs.Status.SUCCEEDED, run.reason
    assert stand.effects(tmp_path, parent) == ["bios settings reset"]
    assert stand.effects(tmp_path, first) == ["bios settings reset"]
    assert stand.effects(tmp_path, second) == ["bios settings reset", "power power off"]
    after = await stand.get_node(deps, second)
    assert (after.power_state, after.provision_state, after.reservation) == ("power off", S.ACTIVE, None)


async def test_a_node_without_children_has_nothing_to_do(deps: Deps, tmp_path: Path) -> None:
    alone = await stand.add_node(deps, S.MANAGEABLE, **FIELDS)
    assert (await go(deps, alone, "clean", {**RESET, **ON_CHILDREN})).status == runs.Status.SUCCEEDED
    assert stand.effects(tmp_path, alone) == []


async def test_a_child_that_fails_fails_its_parent_with_its_reason(deps: Deps, tmp_path: Path) -> None:
    faulty = {"fake_fault": "bios.factory_reset", "fake_fault_text": "the flash is worn out"}
    parent, first, second = await family(deps, S.MANAGEABLE, driver_info=faulty)
    run = await go(deps, parent, "clean", {**RESET, **ON_CHILDREN}, RESET)
    assert f"bios.factory_reset of child {second}: Node {second}: " in (run.reason or "")
    assert "the flash is worn out" in (run.reason or "")
    assert (await stand.get_node(deps, parent)).provision_state == S.CLEAN_FAILED
    assert (stand.effects(tmp_path, first), stand.effects(tmp_path, parent)) == (["bios settings reset"], [])


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"interface": "deploy", "step": "erase_devices"}, "a child's ramdisk is not booted for its parent"),
        ({"interface": "power", "step": "hold"}, "The step hold cannot be done by a child"),
    ],
)
async def test_what_a_child_cannot_do_for_its_parent_is_told(deps: Deps, step: dict[str, Any], said: str) -> None:
    parent, first, _ = await family(deps, S.MANAGEABLE)
    run = await go(deps, parent, "clean", {**step, **ON_CHILDREN})
    assert said in (run.reason or "")
    assert (await stand.get_node(deps, first)).provision_state == S.ACTIVE


async def test_a_busy_child_is_told_as_locked(deps: Deps) -> None:
    parent, first, _ = await family(deps, S.MANAGEABLE)
    await deps.store.run(nodes.change, first, driver_info={"fake_delay": 5})
    await provisioning.request_power(deps, first, stand.ON)
    run = await go(deps, parent, "clean", {**RESET, **ON_CHILDREN})
    assert f'Node {first} is locked by the run "power"' in (run.reason or "")


async def test_a_conductor_that_goes_leaves_the_child_one_run(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        async with stand.conductor(deps, "first"):
            parent, child, _ = await family(deps, S.MANAGEABLE)
            await deps.store.run(nodes.change, child, driver_info={"fake_delay": 0.5})
            await provisioning.request(deps, parent, "clean", {"clean_steps": [{**RESET, **ON_CHILDREN}]})
            await stand.until(lambda: deps.store.read(run_store.find_open, child))
        async with stand.conductor(deps, "second"):
            assert (await stand.ended(deps, parent, 20)).status == runs.Status.SUCCEEDED
        assert stand.effects(tmp_path, child) == ["bios settings reset"]
