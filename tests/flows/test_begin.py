"""How a step begins: with the node as others left it, and not at all for whoever lost the run or is to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from flows import stand
from ingot.deps import Deps
from ingot.domain import errors, power, runs, states
from ingot.flows.journal import RunJournal
from ingot.services import provisioning
from ingot.store import claims, nodes
from ingot.store import runs as run_store

UNSEEN = [runs.PlannedStep("flow", name) for name in ("check", "look")]
STEPS = [runs.PlannedStep("deploy", name, priority=10) for name in ("prepare", "write_image", "boot_instance")]


async def begun(deps: Deps, plan: list[runs.PlannedStep]) -> tuple[str, RunJournal]:
    """A node whose deployment was taken up here and is in its first step, and the run's journal."""
    uuid = await stand.add_node(deps)
    await provisioning.request(deps, uuid, "active", {})
    [lease] = await deps.store.run(claims.claim, "host/x", deps.clock(), 60.0, 1)
    run = await deps.store.read(run_store.get, lease.run_id)
    journal = RunJournal(deps, lease, run, [], await stand.get_node(deps, uuid))
    journal.set_plan(plan)
    assert await journal.begin(0, None) == (await stand.get_node(deps, uuid), None)
    return uuid, journal


def change(connection: Connection, uuid: str, columns: dict[str, Any]) -> None:
    nodes.change(connection, uuid, **columns)


async def test_a_step_begins_with_what_the_run_itself_wrote(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid, journal = await begun(deps, STEPS)
        await journal.change_node(power_state=power.Power.ON.value, raid_config={"logical_disks": []})
        found, token = await journal.begin(1, None)
        assert (found, token) == (await stand.get_node(deps, uuid), None)
        assert (found.power_state, found.raid_config) == ("power on", {"logical_disks": []})
        await journal.set_agent_token("hello")
        await journal.keep_internal({"plan": 1})
        found, token = await journal.begin(2, None)
        assert (found, token) == (await stand.get_node(deps, uuid), "hello")
        assert (found.driver_internal_info, found.deploy_step["step"]) == ({"plan": 1}, "boot_instance")


@pytest.mark.parametrize("own", [False, True], ids=["alone", "with a write of the run"])
async def test_a_step_begins_with_what_others_wrote_meanwhile(tmp_path: Path, own: bool) -> None:
    async with stand.site(tmp_path) as deps:
        uuid, journal = await begun(deps, STEPS)
        sealed = deps.sealer.seal(uuid, "new")
        await deps.store.run(change, uuid, {"agent_url": "http://a", "agent_token": sealed})
        if own:
            await journal.change_node(power_state="power on")
        found, token = await journal.begin(1, None)
        assert (found, token) == (await stand.get_node(deps, uuid), "new")
        assert (found.agent_url, found.power_state) == ("http://a", "power on" if own else "power off")


@pytest.mark.parametrize("plan", [STEPS, UNSEEN], ids=["shown", "not shown"])
async def test_a_step_does_not_begin_where_the_run_shall_stop(tmp_path: Path, plan: list[runs.PlannedStep]) -> None:
    async with stand.site(tmp_path) as deps:
        uuid, journal = await begun(deps, plan)
        journal.mark_later(0, runs.Mark.SUCCEEDED)
        await deps.store.run(run_store.request_abort, uuid, "Aborted by Ann", deps.clock())
        with pytest.raises(errors.Aborted, match="Ann"):
            await journal.begin(1, None)
        assert await stand.journal(deps, uuid) == [(0, "started"), (0, "succeeded")]
        assert (await stand.get_node(deps, uuid)).deploy_step.get("step") == ("prepare" if plan is STEPS else None)


@pytest.mark.parametrize("plan", [STEPS, UNSEEN], ids=["shown", "not shown"])
async def test_a_step_does_not_begin_where_the_run_is_anothers(tmp_path: Path, plan: list[runs.PlannedStep]) -> None:
    async with stand.site(tmp_path) as deps:
        uuid, journal = await begun(deps, plan)
        journal.mark_later(0, runs.Mark.SUCCEEDED)
        await deps.store.run(run_store.release, journal.lease, {}, 0.0)
        [other] = await deps.store.run(claims.claim, "other/y", deps.clock(), 60.0, 1)
        assert other.generation > journal.lease.generation
        with pytest.raises(errors.LostLease):
            await journal.begin(1, None)
        assert await stand.journal(deps, uuid) == [(0, "started")]
        assert (await stand.get_node(deps, uuid)).deploy_step.get("step") == ("prepare" if plan is STEPS else None)


async def test_a_step_that_is_not_shown_leaves_the_node_as_it_is(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid, journal = await begun(deps, UNSEEN)
        before = await stand.get_node(deps, uuid)
        assert await journal.begin(1, None) == (before, None)
        assert await stand.get_node(deps, uuid) == before
        assert await stand.journal(deps, uuid) == [(0, "started"), (1, "started")]
        await deps.store.run(change, uuid, {"agent_url": "http://a"})
        assert (await journal.begin(1, None))[0].agent_url == "http://a"


async def test_a_run_ends_from_the_state_in_which_the_node_is(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid, journal = await begun(deps, STEPS)
        await deps.store.run(change, uuid, {"provision_state": states.State.WAIT_CALL_BACK})
        await journal.finish(runs.Status.FAILED, (states.Event.FAIL,), "why")
        found = await stand.get_node(deps, uuid)
        assert (found.provision_state, found.last_error) == (states.State.DEPLOY_FAILED, "why")
