"""Steps that steer a plan instead of touching an interface: hold, wait, power_on, power_off, reboot.

Their names are reserved by Ironic whatever interface they are given with. A ramdisk that runs is brought back by
power_on and reboot, so that the agent's steps behind them find an agent. May not: know which flow it serves.
"""

from __future__ import annotations

from ingot.domain import errors, power, states
from ingot.interfaces.context import StepContext, WaitFor
from ingot.interfaces.steps import step

NAMES = frozenset({"hold", "wait", "power_on", "power_off", "reboot"})
_LONGEST_HOLD = 10 * 365 * 86_400.0
_RAMDISK_WAS_ON = "ramdisk to bring back"


class Control:
    """The reserved steps."""

    @step()
    async def hold(self, ctx: StepContext) -> None:
        """Rest in the hold state until an operator sends "unhold"; an abort ends it too."""
        words = f'the verb "unhold" (step {ctx.index + 1} holds)'

        async def released() -> bool:
            here = (await ctx.refresh()).provision_state
            # The run may have been taken up in an earlier step, and still know what that one waited for.
            was_held = ctx.run.wait is not None and ctx.run.wait.what == words
            return was_held and states.TABLE[here].kind != states.Kind.HOLD

        await ctx.wait.until(released, WaitFor(words, _LONGEST_HOLD, poll=3600.0, held=True))

    @step()
    async def wait(self, ctx: StepContext) -> None:
        """Pause for ``args["seconds"]``; without it until the ramdisk's agent calls next."""
        seconds = _seconds(ctx.args.get("seconds"))

        async def now() -> float:
            return ctx.now()

        since = await ctx.once("waits since", now)

        async def passed() -> bool:
            return ctx.now() >= since + (seconds or 0.0)

        async def called() -> bool:
            return ((await ctx.refresh()).agent_heartbeat_at or 0.0) > since

        if seconds is None:
            patience = ctx.kit.settings.ramdisk_timeout
            await ctx.wait.until(called, WaitFor("the agent's next call", patience, poll=15.0, on_agent=True))
        else:
            left = max(0.05, since + seconds - ctx.now())
            words = f"{seconds:g} s to pass, as a step asked"
            asked = WaitFor(words, seconds + 60.0, seconds, poll=left, on_agent=True)
            await ctx.wait.until(passed, asked)

    @step()
    async def power_on(self, ctx: StepContext) -> None:
        """Machine on; into the ramdisk if one ran before power_off."""
        if ctx.memo.get(_RAMDISK_WAS_ON):
            await ctx.deploy.start_ramdisk(ctx)
        else:
            await _switch(ctx, power.Target.ON)

    @step()
    async def power_off(self, ctx: StepContext) -> None:
        """Machine off."""
        await _note_ramdisk(ctx)
        await _switch(ctx, power.Target.OFF)
        await ctx.journal.set_agent_token(None)

    @step()
    async def reboot(self, ctx: StepContext) -> None:
        """Machine off and on again; into the ramdisk if one runs."""
        if await _note_ramdisk(ctx):
            await ctx.once("agent let go", lambda: _let_go(ctx))
            await ctx.deploy.start_ramdisk(ctx)
        else:
            await _switch(ctx, power.Target.REBOOT)


CONTROL = Control()


async def _note_ramdisk(ctx: StepContext) -> bool:
    """Remember for the rest of the run whether a ramdisk runs; whether it does."""

    async def look() -> bool:
        return (await ctx.refresh()).agent_url is not None

    running = await ctx.once("ramdisk runs", look)
    if running and not ctx.memo.get(_RAMDISK_WAS_ON):
        await ctx.journal.remember(_RAMDISK_WAS_ON, True)
        ctx.memo[_RAMDISK_WAS_ON] = True
    return running


async def _let_go(ctx: StepContext) -> bool:
    """End the present agent's right to speak, so that the next boot's is not mistaken for it."""
    await ctx.journal.set_agent_token(None)
    await ctx.refresh()
    return True


async def _switch(ctx: StepContext, target: power.Target) -> None:
    await ctx.power.set(ctx, target, ctx.kit.settings.power_timeout)
    await ctx.journal.change_node(power_state=target.result().value)


def _seconds(given: object) -> float | None:
    if given is None:
        return None
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 <= given <= 86_400:
        raise errors.Invalid("The step wait needs seconds from 0 to 86400", hint='Give {"seconds": 30}, or no args.')
    return float(given)
