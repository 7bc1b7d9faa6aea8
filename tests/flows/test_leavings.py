"""What a run leaves behind: nothing of its request, no secret in clear, no vif of a former tenant, no half of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from flows import stand
from flows.test_engine import Probe, claiming, open_run
from ingot.deps import Deps
from ingot.domain import errors, runs, states
from ingot.interfaces.context import StepContext
from ingot.interfaces.network import VIF
from ingot.services import allocations, provisioning, traits
from ingot.store import allocations as allocation_store
from ingot.store import claims as claim_store
from ingot.store import nodes, ports
from ingot.store import runs as run_store

S = states.State
SECRET = "geheim-4711"


def database(folder: Path) -> bytes:
    """Every byte of the database, its write-ahead log too."""
    return b"".join(file.read_bytes() for file in folder.glob("ingot.db*"))


async def test_secrets_of_a_request_are_never_stored_in_clear_and_gone_at_its_end(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, driver_info={"fake_wait": "heartbeat"})
        step = {"interface": "deploy", "step": "prepare", "priority": 100, "args": {"password": SECRET, "level": 5}}
        await provisioning.request(deps, uuid, "active", {"deploy_steps": [step], "configdrive": SECRET})
        async with stand.conductor(deps):
            waiting = await stand.parked(deps, uuid)
            assert SECRET.encode() not in database(tmp_path)
            assert waiting.plan is not None
            assert [one.args for one in waiting.plan if one.step == "prepare"] == [{"password": "******", "level": 5}]
            await provisioning.request(deps, uuid, "abort", {})
            ended = await stand.ended(deps, uuid)
        assert (ended.status, ended.params) == (runs.Status.ABORTED, {})
        assert SECRET.encode() not in database(tmp_path)


async def test_a_tear_down_takes_the_tenants_vifs_off_the_ports(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, S.ACTIVE)
        [port] = await deps.store.read(ports.list_of_node, uuid)
        await deps.store.run(ports.change, port.uuid, internal_info={VIF: "a-vif", "kept": 1})
        await provisioning.request(deps, uuid, "deleted", {})
        async with stand.conductor(deps):
            await stand.ended(deps, uuid)
        [port] = await deps.store.read(ports.list_of_node, uuid)
        assert port.internal_info == {"kept": 1}


async def is_given_up(deps: Deps, uuid: str) -> bool:
    """Whether a tear down was accepted: while the conductor looks whether the wait is over, the node is locked."""
    try:
        await provisioning.request(deps, uuid, "deleted", {})
    except errors.Locked:
        return False
    return True


async def test_a_deployment_that_waits_can_be_deleted(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, driver_info={"fake_wait": "heartbeat"})
        await provisioning.request(deps, uuid, "active", {})
        async with stand.conductor(deps):
            given_up = await stand.parked(deps, uuid)
            await deps.store.run(nodes.change, uuid, automated_clean=False)
            await stand.until(lambda: is_given_up(deps, uuid))
            torn_down = await stand.ended(deps, uuid)
        found = await stand.get_node(deps, uuid)
        assert (torn_down.kind, found.provision_state) == (runs.Kind.TEAR_DOWN, S.AVAILABLE)
        assert (await deps.store.read(run_store.get, given_up.id)).status == runs.Status.ABORTED


@pytest.mark.parametrize("params", [{}, {"clean_steps": []}])
async def test_a_manual_clean_without_steps_erases_nothing(tmp_path: Path, params: dict[str, Any]) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, S.MANAGEABLE)
        await provisioning.request(deps, uuid, "clean", params)
        async with stand.conductor(deps):
            await stand.ended(deps, uuid)
        assert (await stand.get_node(deps, uuid)).provision_state == S.MANAGEABLE
        assert "metadata erased" not in stand.effects(tmp_path, uuid)


async def test_only_a_waiting_run_gives_way(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps)
        await provisioning.request(deps, uuid, "active", {})
        now = deps.clock()
        await deps.store.run(claim_store.claim, "host/boot", now, 60.0, 5)
        assert not await deps.store.run(run_store.supersede, uuid, "why", now)
        await deps.store.run(nodes.change_if, uuid, {}, provision_state=S.WAIT_CALL_BACK)
        with pytest.raises(errors.Locked):
            await provisioning.request(deps, uuid, "deleted", {})


async def test_units_that_are_run_twice_leave_what_they_leave_once(tmp_path: Path) -> None:
    """Beside each of them others fail after they have written, so that the whole group is taken back and run again."""
    undisturbed = await lived(tmp_path / "undisturbed")
    calls = Counter[str]()

    def spoil(connection: Connection, uuid: str) -> None:
        calls["spoilt"] += 1
        nodes.change(connection, uuid, description="never seen")
        raise errors.Conflict("after it wrote")

    async def keep_spoiling(deps: Deps) -> None:
        uuid = await stand.add_node(deps)
        while True:
            with contextlib.suppress(errors.Conflict):
                await deps.store.run(spoil, uuid)
            calls["told"] += 1

    assert await lived(tmp_path / "disturbed", keep_spoiling) == undisturbed
    assert calls["spoilt"] > calls["told"] > 20


async def lived(folder: Path, *beside: Callable[[Deps], Coroutine[Any, Any, None]]) -> dict[str, Any]:
    """What there is to see of a node that was deployed, changed and taken down."""
    folder.mkdir()
    async with stand.site(folder) as deps, stand.conductor(deps):
        noise = [asyncio.create_task(each(deps)) for each in beside * 3]
        uuid = await stand.add_node(deps, resource_class="small")
        wanted = allocations.draft({"resource_class": "small", "name": "one"}, 60)
        made = await allocations.create(deps, wanted)
        await stand.until(lambda: deps.store.read(has_its_node, made.uuid), 30)
        for verb in ("active", "deleted"):
            await traits.add(deps, uuid, f"CUSTOM_{verb.upper()}")
            await provisioning.request(deps, uuid, verb, {})
            await stand.ended(deps, uuid, 30)
        for task in noise:
            task.cancel()
        found = await stand.get_node(deps, uuid)
        return {
            "journal": await stand.journal(deps, uuid),
            "events": await stand.events(deps, uuid),
            "node": (found.provision_state, found.traits, found.instance_uuid, found.description),
            "effects": stand.effects(folder, uuid),
        }


def has_its_node(connection: Connection, uuid: str) -> bool:
    return allocation_store.get(connection, uuid).node_uuid is not None


async def test_a_plan_that_cannot_be_stored_for_a_moment_is_not_lost(tmp_path: Path) -> None:
    """Its secrets have to be sealed, and the file of the key is away: the step that was to begin has not failed."""

    class Secretive(Probe):
        async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
            planned = await super().plan(ctx)
            return [msgspec.structs.replace(one, args={"password": "hush"}) for one in planned]

    flow, key, away = Secretive(), tmp_path / "secret.key", tmp_path / "away"

    async def lose(_ctx: StepContext) -> None:
        if flow.called.count("plan") == 1:
            key.rename(away)
            asyncio.get_running_loop().call_later(0.5, away.rename, key)

    flow.acts["plan"] = lose
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        uuid = await open_run(deps)
        run = await stand.ended(deps, uuid)
        journal = await stand.journal(deps, uuid)
    assert (run.status, run.reason) == (runs.Status.SUCCEEDED, None)
    assert flow.called == ["plan", "plan", "first", "second"]
    assert journal == [(0, "started"), (0, "succeeded"), (1, "started"), (1, "succeeded")]
    assert [one.sealed is not None for one in run.plan or []] == [True, True]
