"""What a flow does when steps, undos, waits or people go wrong: states, sentences, history, undo."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from faults import catalogue
from flows import stand
from ingot.domain import errors, runs, states
from ingot.services import heartbeat, provisioning
from ingot.store import journals, nodes
from ingot.store import runs as run_store

S = states.State
FAULTS = [
    # verb, state, action that fails, state afterwards, what was undone
    ("manage", S.ENROLL, "power.get", S.ENROLL, []),
    ("inspect", S.MANAGEABLE, "inspect.inspect", S.INSPECT_FAILED, []),
    ("provide", S.MANAGEABLE, "deploy.erase_devices_metadata", S.CLEAN_FAILED, []),
    ("active", S.AVAILABLE, "deploy.prepare", S.DEPLOY_FAILED, ["prepare undone"]),
    ("active", S.AVAILABLE, "deploy.write_image", S.DEPLOY_FAILED, ["prepare undone"]),
    ("active", S.AVAILABLE, "power.set", S.DEPLOY_FAILED, ["prepare undone"]),
    ("deleted", S.ACTIVE, "power.set", S.ERROR, []),
    ("rescue", S.ACTIVE, "rescue.rescue", S.RESCUE_FAILED, []),
    ("rescue", S.ACTIVE, "power.set", S.RESCUE_FAILED, []),
    ("unrescue", S.RESCUE, "rescue.unrescue", S.UNRESCUE_FAILED, []),
    ("unrescue", S.RESCUE, "power.set", S.UNRESCUE_FAILED, []),
    ("service", S.ACTIVE, "bios.factory_reset", S.SERVICE_FAILED, []),
    ("service", S.ACTIVE, "power.set", S.SERVICE_FAILED, []),
    ("deleted", S.ACTIVE, "deploy.erase_devices_metadata", S.CLEAN_FAILED, []),
]

PARAMS: dict[str, dict[str, Any]] = {
    "rescue": {"rescue_password": "x"},
    "service": {
        "service_steps": [{"interface": "bios", "step": "factory_reset"}, {"interface": "power", "step": "reboot"}]
    },
}


@pytest.mark.parametrize(("verb", "state", "action", "after", "undone"), FAULTS, ids=str)
async def test_a_failing_step_is_undone_and_told(
    tmp_path: Path, verb: str, state: states.State, action: str, after: states.State, undone: list[str]
) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        info = {"fake_fault": action, "fake_fault_text": "it smokes"}
        uuid = await stand.add_node(deps, state, driver_info=info, rescue_interface="fake", bios_interface="fake")
        await provisioning.request(deps, uuid, verb, PARAMS.get(verb, {}))
        run = await stand.ended(deps, uuid)
        node = await stand.get_node(deps, uuid)
        assert run.status == runs.Status.FAILED
        assert node.provision_state == after
        assert node.last_error is not None
        assert "it smokes. Remove fake_fault from driver_info." in node.last_error
        if action == "deploy.write_image":
            catalogue.told("step-fails", node.last_error)
        assert node.reservation is None
        assert [effect for effect in stand.effects(tmp_path, uuid) if "undone" in effect] == undone
        assert f"{run.kind}: failed: {run.reason}" in await stand.events(deps, uuid)
        assert node.maintenance == (after in {S.CLEAN_FAILED, S.SERVICE_FAILED})
        assert node.deploy_step == node.clean_step == {}


async def test_a_failing_undo_is_recorded_and_the_run_still_ends(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        uuid = await stand.add_node(deps, driver_info={"fake_fault": "power.set deploy.undo_prepare"})
        await provisioning.request(deps, uuid, "active", {})
        run = await stand.ended(deps, uuid)
        lines = await deps.store.read(journals.get, run.id)
        failed = [line for line in lines if line.mark == runs.Mark.UNDO_FAILED]
        assert len(failed) == 1
        assert "undo_prepare" in (failed[0].detail or "")
        assert run.status == runs.Status.FAILED
        assert "power.set" in (run.reason or "")
        assert (await stand.get_node(deps, uuid)).provision_state == S.DEPLOY_FAILED


@pytest.mark.parametrize("again", ["deploy.prepare", "deploy.erase_devices_metadata", "power.set", "inspect.inspect"])
async def test_after_the_fault_is_gone_the_same_verb_works(tmp_path: Path, again: str) -> None:
    verbs = {"deploy": (S.AVAILABLE, "active", S.ACTIVE), "power": (S.AVAILABLE, "active", S.ACTIVE)}
    verbs["inspect"] = (S.MANAGEABLE, "inspect", S.MANAGEABLE)
    state, verb, after = verbs[again.split(".", maxsplit=1)[0]]
    if "erase" in again:
        state, verb, after = S.ACTIVE, "deleted", S.AVAILABLE
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        uuid = await stand.add_node(deps, state, driver_info={"fake_fault": again})
        await provisioning.request(deps, uuid, verb, {})
        await stand.ended(deps, uuid)
        await deps.store.run(nodes.change, uuid, driver_info={}, maintenance=False)
        if (await stand.get_node(deps, uuid)).provision_state == S.CLEAN_FAILED:
            await provisioning.request(deps, uuid, "manage", {})
            verb = "provide"
        await provisioning.request(deps, uuid, verb, {})
        run = await stand.ended(deps, uuid)
        assert run.status == runs.Status.SUCCEEDED
        node = await stand.get_node(deps, uuid)
        assert (node.provision_state, node.last_error, node.target_provision_state) == (after, None, None)


@pytest.mark.parametrize(
    ("verb", "state", "waiting", "failed"),
    [
        ("active", S.AVAILABLE, S.WAIT_CALL_BACK, S.DEPLOY_FAILED),
        ("provide", S.MANAGEABLE, S.CLEAN_WAIT, S.CLEAN_FAILED),
        ("inspect", S.MANAGEABLE, S.INSPECT_WAIT, S.INSPECT_FAILED),
    ],
)
class TestWaits:
    async def test_the_heartbeat_wakes_the_run(
        self, tmp_path: Path, verb: str, state: states.State, waiting: states.State, failed: states.State
    ) -> None:
        async with stand.site(tmp_path) as deps, stand.conductor(deps):
            uuid = await stand.add_node(deps, state, driver_info={"fake_wait": "heartbeat"})
            await provisioning.request(deps, uuid, verb, {})
            run = await stand.parked(deps, uuid)
            node = await stand.get_node(deps, uuid)
            assert node.provision_state == waiting
            assert node.reservation is None
            assert run.reason == "the imaginary ramdisk's call"
            _, token = await heartbeat.lookup(deps, [], uuid)
            await heartbeat.beat(deps, uuid, {"callback_url": "https://192.0.2.1:9999", "agent_token": token})
            assert (await stand.ended(deps, uuid)).status == runs.Status.SUCCEEDED

    async def test_an_abort_ends_it_with_the_name_of_who_asked(
        self, tmp_path: Path, verb: str, state: states.State, waiting: states.State, failed: states.State
    ) -> None:
        async with stand.site(tmp_path) as deps, stand.conductor(deps):
            uuid = await stand.add_node(deps, state, driver_info={"fake_wait": "heartbeat"})
            await provisioning.request(deps, uuid, verb, {})
            await stand.parked(deps, uuid)
            await provisioning.request(deps, uuid, "abort", {}, user="ada")
            run = await stand.ended(deps, uuid)
            node = await stand.get_node(deps, uuid)
            assert (run.status, node.provision_state) == (runs.Status.ABORTED, failed)
            assert "Aborted on request by ada" in (node.last_error or "")
            assert not node.maintenance

    async def test_the_deadline_ends_it_with_a_sentence(
        self, tmp_path: Path, verb: str, state: states.State, waiting: states.State, failed: states.State
    ) -> None:
        async with stand.site(tmp_path, ramdisk_timeout=0.3) as deps, stand.conductor(deps):
            uuid = await stand.add_node(deps, state, driver_info={"fake_wait": "heartbeat"})
            await provisioning.request(deps, uuid, verb, {})
            run = await stand.ended(deps, uuid)
            assert "for the imaginary ramdisk's call (usual 1 s). Remove fake_wait" in (run.reason or "")
            if verb == "active":
                catalogue.told("ramdisk-never-calls", run.reason)
            assert (await stand.get_node(deps, uuid)).provision_state == failed
            late = stand.effects(tmp_path, uuid)
            assert not {"image written", "metadata erased", "inspected"} & set(late)


async def test_of_two_deployments_at_once_one_reads_locked(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        uuid = await stand.add_node(deps, driver_info={"fake_delay": 0.05})
        asked = [provisioning.request(deps, uuid, "active", {}) for _ in range(2)]
        first, second = await asyncio.gather(*asked, return_exceptions=True)
        refused = first or second
        assert None in (first, second)
        assert isinstance(refused, errors.Locked)
        catalogue.told("run-in-the-way", refused.sentence())
        await stand.ended(deps, uuid)
        assert stand.effects(tmp_path, uuid).count("image written") == 1


async def test_a_step_that_hangs_is_ended_at_the_deadline_of_the_run(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, driver_info={"fake_delay": 3600})
        await provisioning.request(deps, uuid, "active", {})
        run = await deps.store.read(run_store.find_open, uuid)
        assert run is not None
        soon = deps.clock() + 0.5
        await deps.store.run(set_deadline, run.id, soon)
        async with stand.conductor(deps):
            # The undo hangs as well: its own limit is long, so the first journal line is what is looked for.
            async def failed() -> str | None:
                assert run is not None
                lines = await deps.store.read(journals.get, run.id)
                return next((line.detail for line in lines if line.mark == runs.Mark.FAILED), None)

            catalogue.told("step-hangs", await stand.until(failed))


def set_deadline(connection: stand.Any, run_id: str, at: float) -> None:
    table = run_store.table
    connection.execute(table.update().where(table.c.id == run_id).values(deadline=at))


async def test_a_driver_that_is_wrong_fails_the_run_as_a_bug_without_its_text(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        uuid = await stand.add_node(deps, S.ENROLL, driver_info={"fake_bug": "power.get", "fake_fault_text": "geheim"})
        await provisioning.request(deps, uuid, "manage", {})
        run = await stand.ended(deps, uuid)
        assert "unforeseen ValueError" in (run.reason or "")
        assert "geheim" not in (run.reason or "")
        catalogue.told("driver-bug", run.reason)
        assert (await stand.get_node(deps, uuid)).provision_state == S.ENROLL


async def test_the_history_tells_what_was_asked_and_how_it_ended(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps):
        uuid = await stand.add_node(deps)
        await provisioning.request(deps, uuid, "active", {}, user="ada")
        await stand.ended(deps, uuid)
        assert await stand.events(deps, uuid) == ['Asked for "active".', "deploy: succeeded"]


async def test_a_run_whose_node_cannot_be_opened_fails_after_a_few_tries(tmp_path: Path) -> None:
    """A wrong secret key: every claim fails before the first step."""
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps)
        await provisioning.request(deps, uuid, "active", {})
    (tmp_path / "secret.key").write_bytes(bytes(32))
    async with stand.site(tmp_path) as deps:
        ticks = itertools.count(deps.clock(), 10)
        hurried = stand.with_clock(deps, lambda: float(next(ticks)))
        async with stand.conductor(hurried):
            run = await stand.ended(deps, uuid, 80)
        node = await stand.get_node(deps, uuid)
        assert run.status == runs.Status.FAILED
        assert "Gave up after 6 tries: The secrets of node" in (run.reason or "")
        assert "Put the secret.key file" in (node.last_error or "")
        catalogue.told("wrong-key", node.last_error)
        assert node.provision_state == S.DEPLOY_FAILED
        assert node.reservation is None
