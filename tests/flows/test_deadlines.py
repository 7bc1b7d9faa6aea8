"""No state lasts for ever: a run ends at its deadline in every state that is not the end of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows import stand
from flows.test_faults import set_deadline
from ingot.domain import runs, states
from ingot.services import provisioning
from ingot.store import journals
from ingot.store import runs as run_store

S = states.State
FULL: dict[str, Any] = {"rescue_interface": "fake", "bios_interface": "fake", "power_state": "power on"}
RESET = {"interface": "bios", "step": "factory_reset"}
RESCUE = {"rescue_password": "not-a-secret"}
SERVICE = {"service_steps": [RESET]}
WAITS: list[tuple[str, states.State, dict[str, Any], states.State, states.State]] = [
    ("active", S.AVAILABLE, {}, S.WAIT_CALL_BACK, S.DEPLOY_FAILED),
    ("provide", S.MANAGEABLE, {}, S.CLEAN_WAIT, S.CLEAN_FAILED),
    ("inspect", S.MANAGEABLE, {}, S.INSPECT_WAIT, S.INSPECT_FAILED),
    ("rescue", S.ACTIVE, RESCUE, S.RESCUE_WAIT, S.RESCUE_FAILED),
    ("service", S.ACTIVE, SERVICE, S.SERVICE_WAIT, S.SERVICE_FAILED),
]
LEFT = {"service": {"agent_url": "https://192.0.2.1:9999"}}
"""What makes a verb boot the ramdisk although no imaginary step needs it: an agent that an earlier run has left."""
WORK: list[tuple[str, states.State, dict[str, Any], states.State]] = [
    ("manage", S.ENROLL, {}, S.VERIFYING),
    ("inspect", S.MANAGEABLE, {}, S.INSPECTING),
    ("provide", S.MANAGEABLE, {}, S.CLEANING),
    ("active", S.AVAILABLE, {}, S.DEPLOYING),
    ("deleted", S.ACTIVE, {}, S.DELETING),
    ("rescue", S.ACTIVE, RESCUE, S.RESCUING),
    ("unrescue", S.RESCUE, {}, S.UNRESCUING),
    ("service", S.ACTIVE, SERVICE, S.SERVICING),
]


def test_every_state_that_has_a_deadline_is_here() -> None:
    timed = {state for state, row in states.TABLE.items() if row.kind in {states.Kind.TRANSIENT, states.Kind.WAIT}}
    tried = {waiting for *_, waiting, _ in WAITS} | {during for *_, during in WORK}
    assert timed - tried == {S.ADOPTING}, "which touches no hardware, so nothing can hang"


@pytest.mark.parametrize(("verb", "state", "params", "waiting", "failed"), WAITS)
async def test_a_ramdisk_that_never_calls_is_not_waited_for_for_ever(
    tmp_path: Path, verb: str, state: states.State, params: dict[str, Any], waiting: states.State, failed: states.State
) -> None:
    async with stand.site(tmp_path, ramdisk_timeout=1.0) as deps, stand.conductor(deps):
        uuid = await stand.add_node(deps, state, driver_info={"fake_wait": "heartbeat"}, **FULL, **LEFT.get(verb, {}))
        await provisioning.request(deps, uuid, verb, params)
        await stand.parked(deps, uuid)
        assert (await stand.get_node(deps, uuid)).provision_state == waiting
        run = await stand.ended(deps, uuid)
        assert "for the imaginary ramdisk's call (usual 1 s). Remove fake_wait" in (run.reason or "")
        assert (await stand.get_node(deps, uuid)).provision_state == failed


@pytest.mark.parametrize(("verb", "state", "params", "during"), WORK)
async def test_work_that_hangs_is_ended(
    tmp_path: Path, verb: str, state: states.State, params: dict[str, Any], during: states.State
) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, state, driver_info={"fake_delay": 3600}, **FULL)
        await provisioning.request(deps, uuid, verb, params)
        assert (await stand.get_node(deps, uuid)).provision_state == during
        run = await deps.store.read(run_store.find_open, uuid)
        assert run is not None
        await deps.store.run(set_deadline, run.id, deps.clock() + 0.5)
        async with stand.conductor(deps):

            async def told() -> str | None:
                """As the run has it, or its first line while what it undoes hangs as well."""
                lines = await deps.store.read(journals.get, run.id)
                failed = next((line.detail for line in lines if line.mark == runs.Mark.FAILED), None)
                return failed or (await deps.store.read(run_store.get, run.id)).reason

            assert "did not end within" in await stand.until(told)
