"""RAID volumes of a Redfish service.

Invariant: a volume is known by its name, so a step that is entered again makes none twice; ``raid_config`` is what the
service told at the end, never what was wished.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ingot.clients.redfish import storage, tasks
from ingot.domain import errors, raid
from ingot.drivers.redfish import raid_plan, restart, target
from ingot.interfaces.context import Context, StepContext, WaitFor
from ingot.interfaces.hardware import RaidInterface
from ingot.interfaces.steps import step

_TIMEOUT = 3600.0
_USUAL = 120.0
_HINT = "See the BMC's task list and the controller's log."


class RedfishRaid(RaidInterface):
    """Volumes are made and deleted at once where the service can, else by a restart."""

    def properties(self) -> dict[str, str]:
        """The keys of a Redfish service."""
        return target.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The service must be described, and a target that is set must be one that can be."""
        target.check_ca(target.of(ctx))
        await super().validate(ctx)

    @step(clean=0, deploy=0, service=0)
    async def create_configuration(self, ctx: StepContext) -> None:
        """Make the volumes of target_raid_config beside those there are; with delete_existing in their place."""
        goal = (await ctx.refresh()).target_raid_config
        self.check_target(goal)
        await self._reach(ctx, _chosen(ctx, _named(raid.volumes(goal))), delete=bool(ctx.args.get("delete_existing")))

    @step(deploy=0, service=0)
    async def apply_configuration(self, ctx: StepContext) -> None:
        """Make the volumes of the argument raid_config in place of those there are, unless delete_existing is false."""
        goal: Any = ctx.args.get("raid_config") or {}
        self.check_target(goal)
        await ctx.journal.change_node(target_raid_config=goal)
        wanted = _chosen(ctx, _named(raid.volumes(goal)))
        await self._reach(ctx, wanted, delete=ctx.args.get("delete_existing") is not False)

    @step(clean=0, deploy=0, service=0)
    async def delete_configuration(self, ctx: StepContext) -> None:
        """Delete every volume; their data is lost."""
        await self._delete(ctx)
        await ctx.journal.change_node(raid_config={})
        await restart.after(ctx)

    async def _reach(self, ctx: StepContext, wanted: list[dict[str, Any]], *, delete: bool) -> None:
        # What cannot be made at all must not cost the volumes there are, so the plan is made before anything goes.
        await ctx.once("possible", lambda: self._try_plan(ctx, wanted, delete=delete))
        if delete:  # noted when it is over: entered again, those that are made since must not be waited for to go
            await ctx.once("emptied", lambda: self._delete(ctx))
        await self._create(ctx, wanted)
        await ctx.journal.change_node(raid_config={"logical_disks": await self._told(ctx, wanted)})
        await restart.after(ctx)

    async def _try_plan(self, ctx: StepContext, wanted: list[dict[str, Any]], *, delete: bool) -> bool:
        present = await self._controllers(ctx)
        there = {volume.name for one in present for volume in one.volumes}
        if delete:
            present = [msgspec.structs.replace(one, volumes=()) for one in present]
        raid_plan.choose([one for one in wanted if delete or one["volume_name"] not in there], present)
        return True

    async def _controllers(self, ctx: StepContext) -> list[storage.Controller]:
        found = await storage.list_controllers(ctx.kit.redfish, target.of(ctx))
        able = [one for one in found if one.collection is not None]
        if not able:
            raise errors.NotSupported(
                f"{target.of(ctx).name} shows no controller that makes volumes.", hint="Use the raid interface agent."
            )
        return able

    async def _create(self, ctx: StepContext, wanted: list[dict[str, Any]]) -> None:
        async def plan() -> list[dict[str, Any]]:
            present = await self._controllers(ctx)
            there = {volume.name for one in present for volume in one.volumes}
            missing = [one for one in wanted if one["volume_name"] not in there]
            return [_order(choice) for choice in raid_plan.choose(missing, present)]

        begun = [await self._begin(ctx, order) for order in await ctx.once("plan", plan)]
        monitors = [monitor for monitor in begun if monitor]

        async def made() -> bool:
            return {one["volume_name"] for one in wanted} <= await self._names(ctx)

        await self._finish(ctx, "created", monitors, made)

    async def _begin(self, ctx: StepContext, order: dict[str, Any]) -> str | None:
        """Have one volume made, once: one that is there, or that a task is about to make, was ordered before."""
        pool, service, name = ctx.kit.redfish, target.of(ctx), order["wanted"]["Name"]
        before = await ctx.once(f"tasks before {name}", lambda: tasks.list_paths(pool, service))

        async def create() -> str | None:
            if name in await self._names(ctx):
                return None
            begun = await tasks.find_begun(pool, service, before, order["collection"])
            return begun or await storage.create(pool, service, **order)

        return await ctx.once(f"create {name}", create)

    async def _names(self, ctx: StepContext) -> set[str]:
        return {volume.name for one in await self._controllers(ctx) for volume in one.volumes}

    async def _delete(self, ctx: StepContext) -> None:
        async def order() -> list[str]:
            monitors: list[str] = []
            for controller in await self._controllers(ctx):
                for volume in controller.volumes:
                    time = _apply_time(controller)
                    monitor = await storage.delete(ctx.kit.redfish, target.of(ctx), volume, time)
                    monitors += [monitor] if monitor else []
            return monitors

        monitors = await ctx.once("delete", order)

        async def gone() -> bool:
            return not any(one.volumes for one in await self._controllers(ctx))

        await self._finish(ctx, "deleted", monitors, gone)

    async def _finish(
        self, ctx: StepContext, word: str, monitors: list[str], done: Callable[[], Awaitable[bool]]
    ) -> None:
        """Wait for the tasks, restarting the machine once where they wait for that, then for what they were for."""
        await restart.before(ctx)
        what = WaitFor(f"the volumes to be {word}", _TIMEOUT, _USUAL, hint=_HINT)
        await restart.settle_tasks(ctx, monitors, word, what)
        shown = msgspec.structs.replace(what, what=f"the controller to show that its volumes are {word}")
        await restart.until(ctx, done, shown)

    async def _told(self, ctx: StepContext, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The volumes as the service tells them, those wanted first and in their order."""
        found = {volume.name: (one, volume) for one in await self._controllers(ctx) for volume in one.volumes}
        wishes = {one["volume_name"]: one for one in wanted}
        order = [*wishes, *(name for name in found if name not in wishes)]
        return [_line(*found[name], wishes.get(name, {})) for name in order if name in found]


def _named(volumes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"volume_name": f"volume{number}", **one} for number, one in enumerate(volumes)]


def _chosen(ctx: StepContext, volumes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that the arguments create_root_volume and create_nonroot_volumes leave. Raises errors.Invalid for none."""
    root, others = ctx.args.get("create_root_volume", True), ctx.args.get("create_nonroot_volumes", True)
    found = [one for one in volumes if (root if one.get("is_root_volume") else others)]
    if not found:
        raise errors.Invalid("The arguments leave no logical disk of the target to be made")
    return found


def _apply_time(controller: storage.Controller) -> str | None:
    times = controller.apply_times
    if not times:
        return None
    return storage.IMMEDIATE if storage.IMMEDIATE in times else storage.ON_RESET


def _order(choice: raid_plan.Choice) -> dict[str, Any]:
    """What ``storage.create`` takes, as JSON."""
    body = {
        "Name": choice.wish["volume_name"],
        "RAIDType": choice.level.word,
        "CapacityBytes": choice.size,
        "Links": {"Drives": [{"@odata.id": drive.path} for drive in choice.drives]},
    }
    controller = choice.controller
    return {"collection": controller.collection, "wanted": body, "apply_time": _apply_time(controller)}


def _line(controller: storage.Controller, volume: storage.Volume, wish: dict[str, Any]) -> dict[str, Any]:
    line: dict[str, Any] = {
        "volume_name": volume.name,
        "size_gb": volume.size // raid_plan.GIB,
        "raid_level": raid_plan.WORDS.get(volume.raid or "", volume.raid),
        "controller": controller.id,
        "physical_disks": [one.id for one in controller.drives if one.path in volume.drives],
    }
    if volume.wwn:
        line["root_device_hint"] = {"wwn": volume.wwn}
    if wish.get("is_root_volume"):
        line["is_root_volume"] = True
    return line
