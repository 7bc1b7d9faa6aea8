"""Restarting a machine so that what is pending in its BMC takes force, and bringing it back to where it was.

Why: BIOS settings, volumes and firmware all take force at a restart, and each step must leave the machine as it was
found: off, on, or in its ramdisk. Invariant: entering again continues; each act is remembered in the run's memo.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ingot.domain import errors, power
from ingot.interfaces import agent
from ingot.interfaces.context import StepContext, WaitFor

OFF, ON, RAMDISK = "off", "on", "ramdisk"


async def before(ctx: StepContext) -> str:
    """What the machine was doing when the step began; remembered."""

    async def look() -> str:
        if ctx.agent_token and agent.is_alive(ctx, ctx.now()):
            return RAMDISK
        return ON if await ctx.power.get(ctx) == power.Power.ON else OFF

    return await ctx.once("was", look)


async def run(ctx: StepContext) -> None:
    """Restart once: off, then on, from wherever it would boot; with a ramdisk, into its ramdisk again."""
    was = await before(ctx)

    async def restart() -> bool:
        if was == RAMDISK:  # its agent's right to speak ends, so that only the new start's call counts
            await switch(ctx, power.Target.OFF)
            await ctx.journal.set_agent_token(None)
        else:
            await switch(ctx, power.Target.ON if was == OFF else power.Target.REBOOT)
        return True

    await ctx.once("restarted", restart)
    if was == RAMDISK:
        await ctx.refresh()
        await ctx.deploy.start_ramdisk(ctx)


async def until(ctx: StepContext, done: Callable[[], Awaitable[bool]], what: WaitFor) -> None:
    """Wait for ``done()``; a BMC that does not answer meanwhile is looked at again: many restart with the machine."""

    async def look() -> bool:
        try:
            return await done()
        except errors.Unreachable:
            return False

    await ctx.wait.until(look, what)


async def after(ctx: StepContext) -> None:
    """Off again where the machine was off before."""
    if await before(ctx) == OFF:
        await switch(ctx, power.Target.OFF)


async def switch(ctx: StepContext, target: power.Target) -> None:
    """Bring the power to ``target`` and store it."""
    await ctx.power.set(ctx, target, ctx.kit.settings.power_timeout)
    await ctx.journal.change_node(power_state=target.result().value)
