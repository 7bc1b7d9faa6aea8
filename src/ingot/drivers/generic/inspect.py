"""Inspection in band: the ramdisk's agent looks at its own machine and tells."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, cast

from ingot.domain import errors
from ingot.interfaces import agent
from ingot.interfaces.context import Context, StepContext, WaitFor
from ingot.interfaces.inspect import InspectInterface
from ingot.interfaces.steps import step

if TYPE_CHECKING:
    from ingot.clients.agent.client import Agent


_GRACE = 10.0
"""Seconds that an agent which told its findings unasked is given to call: only one that called can be used again."""
_LONGEST = 500
"""Letters of what a ramdisk says of itself."""


class AgentInspect(InspectInterface):
    """Boots the ramdisk (or uses a running one) and asks its agent, unless it tells its findings unasked."""

    async def validate(self, ctx: Context) -> None:
        """The boot must be able to load a ramdisk, on a network that it can be had on."""
        await ctx.boot.validate(ctx)
        await ctx.network.validate(ctx)

    @step(undo="end")
    async def inspect(self, ctx: StepContext) -> None:
        """Ramdisk up, ask, store, ramdisk down."""
        await ctx.deploy.start_ramdisk(ctx, unless=lambda: _has_told(ctx))
        await agent.await_first_call(ctx, unless=lambda: _has_told(ctx))
        if ctx.kit.settings.fast_track:
            await _await_call(ctx)

        async def ask() -> bool:
            if ctx.node.agent_url is None and await _has_told(ctx):
                return True
            found = await _told(agent.client(ctx))
            inventory: dict[str, Any] = found.pop("inventory", None) or {}
            if not inventory.get("interfaces"):
                raise errors.Misbehaved(
                    f"The ramdisk of node {ctx.node.uuid} told nothing about its machine", hint="Look at its console."
                )
            await ctx.journal.store_inventory(inventory, found)
            return True

        await ctx.once("asked", ask)
        await _refuse_incomplete(ctx)
        await self.stop(ctx)

    async def end(self, ctx: StepContext) -> None:
        """Machine off whatever it does."""
        await ctx.deploy.stop_ramdisk(ctx)

    async def stop(self, ctx: StepContext) -> None:
        """Machine off, unless the running ramdisk is to be used again."""
        if not (ctx.kit.settings.fast_track and agent.is_alive(ctx, ctx.now())):
            await ctx.deploy.stop_ramdisk(ctx)


async def _has_told(ctx: StepContext, before: float = 0.0) -> bool:
    """Whether findings came by themselves (POST /v1/continue_inspection) in this inspection, ``before`` seconds ago."""
    found, since = await ctx.journal.find_inventory(), ctx.node.inspection_started_at
    if found is None or since is None or found[0] < since:
        return False
    return ctx.now() - datetime.datetime.fromisoformat(found[0]).timestamp() >= before


async def _refuse_incomplete(ctx: StepContext) -> None:
    """Raises errors.Misbehaved where the ramdisk says itself that its findings lack something, as in Ironic."""
    told = await ctx.journal.find_inventory()
    error = told[2].get("error") if told else None
    if error:
        raise errors.Misbehaved(
            f"The ramdisk of node {ctx.node.uuid} could not look at all of its machine: {str(error)[:_LONGEST]}",
            hint="Look in its log (ingot node logs) for what does not answer, mend or remove it, and inspect again.",
        )


async def _await_call(ctx: StepContext) -> None:
    """Wait a moment for the call of an agent whose findings came before it."""

    async def over() -> bool:
        return (await ctx.refresh()).agent_url is not None or await _has_told(ctx, _GRACE)

    what = "the first call of the ramdisk that told its findings"
    await ctx.wait.until(over, WaitFor(what, 2 * _GRACE, usual=2.0, poll=2.0, on_agent=True))


async def _told(client: Agent) -> dict[str, Any]:
    """The inventory, and from our own agent what its collectors found beside it."""
    try:
        return cast("dict[str, Any]", await client.run("ingot.get_inventory", {}))
    except (errors.NotSupported, errors.Invalid):  # an agent that is not ours has no such extension
        found = cast("dict[str, Any]", await client.run("poll.get_hardware_info", {}))
        return found if "inventory" in found else {"inventory": found}
