"""Restarting a machine so that what is pending in its BMC takes force, and bringing it back to where it was.

Why: BIOS settings, volumes and firmware all take force at a restart, and each step must leave the machine as it was
found: off, on, or in its ramdisk. Invariant: entering again continues; each act is remembered in the run's memo.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from ingot.clients.redfish import tasks
from ingot.domain import errors, power
from ingot.drivers.redfish import target
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


async def run(ctx: StepContext, key: str) -> None:
    """Restart once for ``key``: off, then on, from wherever it would boot; a ramdisk is booted again and waited for."""
    was = await before(ctx)
    inner = ctx.within(key)

    async def restart() -> bool:
        if was == RAMDISK:  # its agent's right to speak ends, so that only the new start's call counts
            await _switch(ctx, power.Target.OFF)
            await ctx.journal.set_agent_token(None)
        else:
            await _switch(ctx, power.Target.REBOOT)  # which of a machine that is off is just on
        return True

    await inner.once("restarted", restart)
    if was == RAMDISK:
        await inner.refresh()
        await ctx.deploy.start_ramdisk(inner)


async def until(ctx: StepContext, done: Callable[[], Awaitable[bool]], what: WaitFor) -> None:
    """Wait for ``done()``; a BMC that does not answer meanwhile is looked at again: many restart with the machine."""

    async def look() -> bool:
        try:
            return await done()
        except errors.Unreachable:
            return False

    await ctx.wait.until(look, what)


async def settle_tasks(ctx: StepContext, monitors: list[str], key: str, what: WaitFor) -> None:
    """Wait until the tasks at ``monitors`` are done; if some wait for a restart, restart the machine once.

    None is interrupted: the restart comes when each is done or waits. ``key``: as for ``run``. Raises
    errors.Misbehaved with a task's own words when it failed.
    """
    service = target.of(ctx)

    async def settled() -> bool:
        found = [await tasks.look(ctx.kit.redfish, service, monitor) for monitor in monitors]
        if found:
            done = sum(100.0 if one.done else one.percent or 0.0 for one in found)
            await ctx.journal.report(done, 100.0 * len(found), what.what)
        return all(one.done or one.waiting for one in found)

    async def waiting() -> bool:
        await until(ctx, settled, what)
        return not all([(await tasks.look(ctx.kit.redfish, service, monitor)).done for monitor in monitors])

    async def over() -> bool:
        return all([(await tasks.look(ctx.kit.redfish, service, monitor)).done for monitor in monitors])

    if await ctx.once(f"{key} waits for a restart", waiting):
        await run(ctx, key)
        restarted = msgspec.structs.replace(what, what=f"{what.what} with the machine's restart")
        await until(ctx, over, restarted)


async def after(ctx: StepContext) -> None:
    """Off again where the machine was off before."""
    if await before(ctx) == OFF:
        await _switch(ctx, power.Target.OFF)


async def _switch(ctx: StepContext, wanted: power.Target) -> None:
    """Bring the power to ``wanted`` and store it; a machine that may not be switched off runs on."""
    if wanted is power.Target.OFF and ctx.node.disable_power_off:
        return
    await ctx.power.set(ctx, wanted, ctx.kit.settings.power_timeout)
    await ctx.journal.change_node(power_state=wanted.result().value)
