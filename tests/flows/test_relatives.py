"""Power of nodes that share a supply: the parent goes on before its child, the children off before their parent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flows import stand
from ingot.deps import Deps
from ingot.domain import power, runs, states
from ingot.services import provisioning

S, OFF, ON = states.State, "power off", "power on"


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    async with stand.site(tmp_path) as made, stand.conductor(made):
        yield made


async def family(deps: Deps, state: str, **parents: Any) -> tuple[str, str, str]:
    """A parent, its child, and its child with a supply of its own, all in this power state."""
    parent = await stand.add_node(deps, S.AVAILABLE, power_state=state, **parents)
    child = await stand.add_node(deps, S.AVAILABLE, power_state=state, parent_node=parent)
    own = {"has_dedicated_power_supply": True}
    apart = await stand.add_node(deps, S.AVAILABLE, power_state=state, parent_node=parent, driver_info=own)
    for uuid in (parent, child, apart) if state == ON else ():
        await switch(deps, uuid, power.Target.ON)
    return parent, child, apart


async def switch(deps: Deps, uuid: str, target: power.Target) -> runs.Run:
    await provisioning.request_power(deps, uuid, target)
    return await stand.ended(deps, uuid)


async def seen(deps: Deps, *uuids: str) -> list[str | None]:
    return [(await stand.get_node(deps, uuid)).power_state for uuid in uuids]


async def test_a_child_needs_its_parent(deps: Deps) -> None:
    parent, child, apart = await family(deps, OFF)
    assert (await switch(deps, apart, power.Target.ON)).status == runs.Status.SUCCEEDED
    assert await seen(deps, parent, child, apart) == [OFF, OFF, ON]
    assert (await switch(deps, child, power.Target.ON)).status == runs.Status.SUCCEEDED
    assert await seen(deps, parent, child, apart) == [ON, ON, ON]


async def test_children_go_off_with_their_parent(deps: Deps) -> None:
    parent, child, apart = await family(deps, ON)
    assert (await switch(deps, parent, power.Target.REBOOT)).status == runs.Status.SUCCEEDED
    assert await seen(deps, parent, child, apart) == [ON, ON, ON]
    assert (await switch(deps, parent, power.Target.OFF)).status == runs.Status.SUCCEEDED
    assert await seen(deps, parent, child, apart) == [OFF, OFF, ON]


async def test_a_parent_that_does_not_come_on_fails_its_child(deps: Deps) -> None:
    parent, child, _ = await family(deps, OFF, driver_info={"fake_fault": "power.set"})
    run = await switch(deps, child, power.Target.ON)
    assert run.status == runs.Status.FAILED
    assert f"Node {parent} could not be brought to power on" in (run.reason or "")
    assert await seen(deps, parent, child) == [OFF, OFF]


async def test_a_child_that_must_stay_on_keeps_its_parent_on(deps: Deps) -> None:
    parent, child, _ = await family(deps, ON)
    await deps.store.run(stand.nodes.change, child, disable_power_off=True)
    run = await switch(deps, parent, power.Target.OFF)
    assert (run.status, "Power off is disabled" in (run.reason or "")) == (runs.Status.FAILED, True)
    assert await seen(deps, parent, child) == [ON, ON]
