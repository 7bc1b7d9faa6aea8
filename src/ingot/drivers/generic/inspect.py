"""Inspection in band: the ramdisk's agent looks at its own machine and tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ingot.domain import errors
from ingot.interfaces import agent
from ingot.interfaces.context import StepContext
from ingot.interfaces.inspect import InspectInterface
from ingot.interfaces.steps import step

if TYPE_CHECKING:
    from ingot.clients.agent.client import Agent


class AgentInspect(InspectInterface):
    """Boots the ramdisk (or uses a running one) and asks its agent."""

    @step(undo="end")
    async def inspect(self, ctx: StepContext) -> None:
        """Ramdisk up, ask, store, ramdisk down."""
        await ctx.deploy.start_ramdisk(ctx)

        async def ask() -> bool:
            found = await _told(agent.client(ctx))
            inventory: dict[str, Any] = found.pop("inventory", None) or {}
            if not inventory.get("interfaces"):
                raise errors.Misbehaved(
                    f"The ramdisk of node {ctx.node.uuid} told nothing about its machine", hint="Look at its console."
                )
            await ctx.journal.store_inventory(inventory, found)
            return True

        await ctx.once("asked", ask)
        await self.stop(ctx)

    async def end(self, ctx: StepContext) -> None:
        """Machine off whatever it does."""
        await ctx.deploy.stop_ramdisk(ctx)

    async def stop(self, ctx: StepContext) -> None:
        """Machine off, unless the running ramdisk is to be used again."""
        if not (ctx.kit.settings.fast_track and agent.is_alive(ctx, ctx.now())):
            await ctx.deploy.stop_ramdisk(ctx)


async def _told(client: Agent) -> dict[str, Any]:
    """The inventory, and from our own agent what its collectors found beside it."""
    try:
        return cast("dict[str, Any]", await client.run("ingot.get_inventory", {}))
    except (errors.NotSupported, errors.Invalid):  # an agent that is not ours has no such extension
        found = cast("dict[str, Any]", await client.run("poll.get_hardware_info", {}))
        return found if "inventory" in found else {"inventory": found}
