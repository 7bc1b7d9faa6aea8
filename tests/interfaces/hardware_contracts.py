"""The contract suites of what only some hardware can do; contracts.py has the others and says how they are used.

A driver's test class names, where the defaults do not fit its hardware, the settings, volumes and files to try.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, ClassVar

import pytest

from flows import stand
from ingot.conductor.claims import Claims
from ingot.domain import errors, ids, runs
from ingot.flows import agent_steps
from ingot.flows.flow import Ending, Failure
from ingot.flows.run import Runner
from ingot.interfaces import steps
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step
from ingot.store import bios, firmware, nodes
from ingot.store import runs as run_store
from interfaces.contracts import TIMEOUT, InterfaceContract, Stage

SECRET = "contract-Rescue-31"


class OneMethod:
    """A flow that calls one method of one interface: for methods that need a run but are in no shipped flow."""

    run_agent_step = staticmethod(agent_steps.refuse)

    def __init__(self, kind: str, method: str, args: dict[str, Any], more: tuple[Any, ...] = ()) -> None:
        self.kind, self.method, self.args, self.more = kind, method, args, more

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        return [runs.PlannedStep("flow", "call", self.args)]

    @step()
    async def call(self, ctx: StepContext) -> None:
        await getattr(ctx.interface(self.kind), self.method)(ctx, *self.more)

    def success(self, ctx: StepContext) -> Ending:
        return (), {}

    def failure(self, found: Any, how: Failure) -> Ending:
        return (), {}


async def run_method(
    stage: Stage,
    kind: str,
    method: str,
    args: dict[str, Any] | None = None,
    params: dict[str, Any] | None = None,
    more: tuple[Any, ...] = (),
) -> runs.Run:
    """Call a method as a durable run does, by the real engine; the run once it has ended. ``more``: its arguments."""
    now = stage.deps.clock()
    sealed = {"sealed": stage.deps.sealer.seal(stage.uuid, params or {})}
    opened = runs.Run(
        id=ids.new(),
        node_uuid=stage.uuid,
        kind=runs.Kind.CLEAN,
        params=sealed,
        wake_at=now,
        started_at=now,
        deadline=now + TIMEOUT,
    )
    await stage.deps.store.run(run_store.open_run, opened)
    flow = OneMethod(kind, method, args or {}, more)
    runner = Runner(stage.deps, (await stage.context()).kit, {runs.Kind.CLEAN: flow})
    task = asyncio.create_task(Claims(stage.deps, runner, "host/1").run())
    try:
        stage.deps.bus.ring(stage.uuid)
        return await stand.ended(stage.deps, stage.uuid, TIMEOUT)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class SteppedContract(InterfaceContract):
    """For interfaces whose methods are steps of cleaning. ``on_request``: those that must never run unasked."""

    on_request: ClassVar[tuple[str, ...]]

    async def succeed(self, stage: Stage, method: str, args: dict[str, Any] | None = None) -> None:
        run = await run_method(stage, self.kind, method, args)
        assert run.status == runs.Status.SUCCEEDED, run.reason

    async def refused(self, stage: Stage, method: str, args: dict[str, Any] | None = None) -> str:
        run = await run_method(stage, self.kind, method, args)
        assert run.status == runs.Status.FAILED
        assert run.reason
        return run.reason

    async def test_its_steps_run_only_on_request(self, stage: Stage) -> None:
        owner = (await stage.context()).interface(self.kind)
        for name in self.on_request:
            assert steps.get(owner, name).priorities.get("clean") == 0, f"{name} is a clean step with priority 0"
        for word in ("clean", "deploy"):
            assert not {one.step for one in steps.planned(owner, self.kind, word)} & set(self.on_request)


class ConsoleContract(InterfaceContract):
    """A line to a console. ``typed``: what the peer answers to, None where nobody listens behind it."""

    kind = "console"
    typed: ClassVar[tuple[bytes, bytes] | None] = None

    async def test_a_line_carries_both_ways_until_it_is_closed(self, stage: Stage) -> None:
        ctx = await stage.context()
        console = ctx.interface("console")
        line = await console.open(ctx)
        if self.typed is not None:
            await line.write(self.typed[0])
            heard = b""
            async with asyncio.timeout(TIMEOUT):
                while self.typed[1] not in heard:
                    heard += await line.read()
        for _ in range(2):
            await line.close()
        async with asyncio.timeout(TIMEOUT):
            while await line.read():
                pass
        with pytest.raises(errors.Unreachable):
            await line.write(b"x")

    async def test_a_closed_line_can_be_opened_again(self, stage: Stage) -> None:
        ctx = await stage.context()
        for _ in range(2):
            line = await ctx.interface("console").open(ctx)
            await line.close()


class RaidContract(SteppedContract):
    """Making and removing volumes; the node's ``raid_config`` says what there is."""

    kind = "raid"
    on_request = ("create_configuration", "delete_configuration")
    volumes: ClassVar[list[dict[str, Any]]] = [
        {"size_gb": 20, "raid_level": "1", "is_root_volume": True},
        {"size_gb": "MAX", "raid_level": "0"},
    ]

    async def aim(self, stage: Stage, volumes: list[Any]) -> None:
        await stage.deps.store.run(nodes.change, stage.uuid, target_raid_config={"logical_disks": volumes})

    async def made(self, stage: Stage) -> list[dict[str, Any]]:
        return (await stage.context()).node.raid_config.get("logical_disks", [])

    async def test_the_volumes_made_are_those_wanted_until_they_are_removed(self, stage: Stage) -> None:
        await self.aim(stage, self.volumes)
        await self.succeed(stage, "create_configuration")
        found = await self.made(stage)
        assert [one["raid_level"] for one in found] == [one["raid_level"] for one in self.volumes]
        assert found[0]["size_gb"] == self.volumes[0]["size_gb"]
        await self.succeed(stage, "delete_configuration")
        assert (await stage.context()).node.raid_config == {}
        await self.succeed(stage, "delete_configuration")

    async def test_volumes_that_cannot_be_leave_those_there_are(self, stage: Stage) -> None:
        await self.aim(stage, self.volumes[:1])
        await self.succeed(stage, "create_configuration")
        before = await self.made(stage)
        for wrong in ([], [{"size_gb": 20, "raid_level": "seven"}], [{"size_gb": -1, "raid_level": "1"}], ["disk"]):
            await self.aim(stage, wrong)
            assert await self.refused(stage, "create_configuration")
        assert await self.made(stage) == before

    async def test_it_documents_the_keys_of_a_volume(self, stage: Stage) -> None:
        keys = (await stage.context()).interface("raid").logical_disk_properties()
        assert {key for one in self.volumes for key in one} <= set(keys)
        assert all(keys.values())


class BiosContract(SteppedContract):
    """Reading, changing and resetting settings."""

    kind = "bios"
    on_request = ("apply_configuration", "factory_reset")
    wanted: ClassVar[list[dict[str, str]]] = [{"name": "Virtualization", "value": "Disabled"}]
    """Settings to try: values other than the maker's."""

    async def values(self, stage: Stage) -> dict[str, Any]:
        ctx = await stage.context()
        return {one.name: one.value for one in await ctx.interface("bios").list_settings(ctx)}

    async def kept(self, stage: Stage) -> dict[str, Any]:
        """The node's record of them."""
        return {one.name: one.value for one in await stage.deps.store.read(bios.list_all, stage.uuid)}

    async def test_settings_are_in_force_until_the_reset(self, stage: Stage) -> None:
        await self.succeed(stage, "factory_reset")
        first = await self.values(stage)
        changed = first | {one["name"]: one["value"] for one in self.wanted}
        assert changed != first, "the suite needs settings that change something"
        for _ in range(2):
            await self.succeed(stage, "apply_configuration", {"settings": self.wanted})
            assert await self.values(stage) == await self.kept(stage) == changed
        await self.succeed(stage, "factory_reset")
        assert await self.values(stage) == await self.kept(stage) == first

    async def test_one_wrong_setting_changes_nothing(self, stage: Stage) -> None:
        before = await self.values(stage)
        name = self.wanted[0]["name"]
        for wrong in ({"name": "NoSuchSetting", "value": "1"}, {"name": name, "value": "NoSuchValue"}, {"name": name}):
            assert await self.refused(stage, "apply_configuration", {"settings": [*self.wanted, wrong]})
        assert await self.refused(stage, "apply_configuration")
        assert await self.values(stage) == before


class FirmwareContract(SteppedContract):
    """Versions and updates."""

    kind = "firmware"
    on_request = ("update",)
    updates: ClassVar[list[dict[str, str]]] = [{"component": "bmc", "url": "http://192.0.2.1/bmc/2.7"}]

    async def versions(self, stage: Stage) -> dict[str, str | None]:
        ctx = await stage.context()
        return {one.component: one.current_version for one in await ctx.interface("firmware").list_components(ctx)}

    async def test_an_update_changes_the_version_of_its_component_alone(self, stage: Stage) -> None:
        before = await self.versions(stage)
        await self.succeed(stage, "update", {"settings": self.updates})
        after = await self.versions(stage)
        assert {name for name in before if after[name] != before[name]} == {one["component"] for one in self.updates}
        kept = await stage.deps.store.read(firmware.list_all, stage.uuid)
        assert {one.component: one.current_version for one in kept} == after

    async def test_one_wrong_component_installs_nothing(self, stage: Stage) -> None:
        before = await self.versions(stage)
        wrong = {"component": "toaster", "url": "http://192.0.2.1/x"}
        assert "toaster" in await self.refused(stage, "update", {"settings": [*self.updates, wrong]})
        assert await self.refused(stage, "update")
        assert await self.versions(stage) == before


class RescueContract(InterfaceContract):
    """Into the rescue ramdisk and back."""

    kind = "rescue"

    async def test_there_and_back_with_the_machine_on(self, stage: Stage) -> None:
        for method, params in (("rescue", {"rescue_password": SECRET}), ("unrescue", {})):
            run = await run_method(stage, "rescue", method, params=params)
            assert run.status == runs.Status.SUCCEEDED, run.reason
            ctx = await stage.context()
            assert await ctx.power.get(ctx) == "power on"
            assert ctx.node.power_state == "power on"

    async def test_the_password_is_kept_nowhere(self, stage: Stage) -> None:
        run = await run_method(stage, "rescue", "rescue", params={"rescue_password": SECRET})
        ctx = await stage.context()
        told = [repr(ctx.node), repr(ctx.instance_info), repr(ctx.driver_info), json.dumps(run.memo)]
        told += await stand.events(stage.deps, stage.uuid)
        assert not [one for one in told if SECRET in one]

    async def test_without_a_password_nothing_begins(self, stage: Stage) -> None:
        run = await run_method(stage, "rescue", "rescue")
        assert run.status == runs.Status.FAILED
        assert "rescue_password" in (run.reason or "")


class StorageContract(InterfaceContract):
    """Attaching and detaching; both may be repeated."""

    kind = "storage"

    async def test_volumes_come_and_go_and_the_record_is_as_before(self, stage: Stage) -> None:
        before = (await stage.context()).node
        for method in ("attach_volumes", "attach_volumes", "detach_volumes", "detach_volumes"):
            run = await run_method(stage, "storage", method)
            assert run.status == runs.Status.SUCCEEDED, run.reason
        after = (await stage.context()).node
        assert (after.driver_internal_info, after.instance_info) == (before.driver_internal_info, before.instance_info)
        assert after.provision_state == before.provision_state


class VendorContract(InterfaceContract):
    """Methods that are described, and callable as described. ``reads``: a method that changes nothing, its body."""

    kind = "vendor"
    reads: ClassVar[tuple[str, dict[str, Any]]] = ("echo", {"some": ["thing", 1, None]})

    async def test_every_method_is_described_whole(self, stage: Stage) -> None:
        vendor = (await stage.context()).interface("vendor")
        assert self.reads[0] in vendor.methods
        for name, told in {**vendor.methods, **vendor.driver_methods}.items():
            assert told.description, name
            assert told.http_methods
            assert set(told.http_methods) <= {"GET", "POST", "PUT", "PATCH", "DELETE"}

    async def test_a_call_answers_with_json(self, stage: Stage) -> None:
        ctx = await stage.context()
        answer = await ctx.interface("vendor").call(ctx, *self.reads)
        assert json.loads(json.dumps(answer)) == answer

    async def test_an_unknown_method_is_refused_by_name(self, stage: Stage) -> None:
        ctx = await stage.context()
        with pytest.raises(errors.Invalid, match="teleport"):
            await ctx.interface("vendor").call(ctx, "teleport", {})
