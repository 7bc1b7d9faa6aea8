"""Ending all open runs of a restored database: out of each state that has one, whoever holds it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flows import stand
from ingot.deps import Deps
from ingot.domain import errors, ids, runs, states
from ingot.flows import restored
from ingot.store import claims, conductors
from ingot.store import runs as run_store

_S, _K = states.State, runs.Kind
ENDS = {
    _S.VERIFYING: (_K.VERIFY, _S.ENROLL),
    _S.INSPECTING: (_K.INSPECT, _S.INSPECT_FAILED),
    _S.INSPECT_WAIT: (_K.INSPECT, _S.INSPECT_FAILED),
    _S.ADOPTING: (_K.ADOPT, _S.ADOPT_FAILED),
    _S.CLEANING: (_K.CLEAN, _S.CLEAN_FAILED),
    _S.CLEAN_WAIT: (_K.TEAR_DOWN, _S.CLEAN_FAILED),
    _S.CLEAN_HOLD: (_K.CLEAN, _S.CLEAN_FAILED),
    _S.DEPLOYING: (_K.DEPLOY, _S.DEPLOY_FAILED),
    _S.WAIT_CALL_BACK: (_K.DEPLOY, _S.DEPLOY_FAILED),
    _S.DEPLOY_HOLD: (_K.DEPLOY, _S.DEPLOY_FAILED),
    _S.DELETING: (_K.TEAR_DOWN, _S.ERROR),
    _S.RESCUING: (_K.RESCUE, _S.RESCUE_FAILED),
    _S.RESCUE_WAIT: (_K.RESCUE, _S.RESCUE_FAILED),
    _S.UNRESCUING: (_K.UNRESCUE, _S.UNRESCUE_FAILED),
    _S.SERVICING: (_K.SERVICE, _S.SERVICE_FAILED),
    _S.SERVICE_WAIT: (_K.SERVICE, _S.SERVICE_FAILED),
    _S.SERVICE_HOLD: (_K.SERVICE, _S.SERVICE_FAILED),
    _S.ACTIVE: (_K.POWER, _S.ACTIVE),
}
_MOVING = {states.Kind.TRANSIENT, states.Kind.WAIT, states.Kind.HOLD}


async def open_run(deps: Deps, uuid: str, kind: runs.Kind) -> None:
    now = deps.clock()
    run = runs.Run(id=ids.new(), node_uuid=uuid, kind=kind, wake_at=now, started_at=now, deadline=now + 900)
    await deps.store.run(run_store.open_run, run)


def test_no_state_with_work_in_it_is_left_out() -> None:
    assert {state for state, row in states.TABLE.items() if row.kind in _MOVING} == ENDS.keys() - {_S.ACTIVE}


async def test_every_open_run_ends_and_its_node_waits_for_somebody_to_look(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        nodes = {state: await stand.add_node(deps, state, reservation="gone") for state in ENDS}
        for state, (kind, _) in ENDS.items():
            await open_run(deps, nodes[state], kind)
        ended = await restored.end_all(deps)
        assert {(one.node, one.kind, one.where) for one in ended} == {
            (nodes[state], kind, "not begun") for state, (kind, _) in ENDS.items()
        }
        for state, (_, after) in ENDS.items():
            found = await stand.get_node(deps, nodes[state])
            assert (found.provision_state, found.maintenance, found.reservation) == (after, True, None), state
            run = await stand.ended(deps, nodes[state])
            assert (run.status, run.reason, run.owner) == (runs.Status.FAILED, restored.REASON, None)
        assert await restored.end_all(deps) == []


async def test_who_held_a_run_may_not_write_to_it_any_more(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, _S.DEPLOYING)
        await open_run(deps, uuid, _K.DEPLOY)
        [lease] = await deps.store.run(claims.claim, "host/1", deps.clock(), 6.0, 1)
        with pytest.raises(errors.Conflict, match=r"work on this database: host$"):
            await restored.end_all(deps)  # it has perhaps said goodbye, and is in the middle of a step
        await restored.end_all(stand.with_clock(deps, lambda: time.time() + 7))
        with pytest.raises(errors.LostLease):
            await deps.store.run(run_store.resume, lease)


async def test_no_run_is_ended_while_a_conductor_lives(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, _S.DEPLOYING)
        await open_run(deps, uuid, _K.DEPLOY)
        alive = conductors.Conductor(hostname="east", boot_id="1", seen_at=deps.clock() - restored.SILENT + 10)
        await deps.store.run(conductors.register, alive)
        with pytest.raises(errors.Conflict, match="east"):
            await restored.end_all(deps)
        assert (await stand.get_node(deps, uuid)).provision_state == _S.DEPLOYING
        assert await deps.store.read(run_store.find_open, uuid) is not None
