"""A power change that somebody wants while a run waits: who takes the run up next makes it, and the run waits on.

Why: in Ironic nobody holds a node that waits for its ramdisk or for an operator, so its power can be changed; here its
run goes on holding it, and changes it itself (docs/decisions/0033). To the run this is as if somebody had pressed the
machine's button. May not: end or fail the run. Invariant: the change is made again when a crash cuts it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ingot.domain import errors, power, runs
from ingot.flows import attempts, deaths, waits
from ingot.flows import power as power_flow
from ingot.flows.journal import RunJournal
from ingot.interfaces.context import StepContext

_GRACE = 60.0
"""Seconds beyond the change's own limit: what a driver needs to tell that it could not keep it."""
_AGENT = ("agent_token", "agent_token_told", "agent_url", "agent_verify_ca")
"""What ends with a ramdisk that is switched off: the next one is let in. When it was last heard of stays: waits count
from there."""


async def serve(ctx: StepContext, journal: RunJournal) -> None:
    """Make the change that was asked for, if one was. A failure is told on the node, and the run goes on."""
    asked: dict[str, Any] | None = ctx.memo.get(runs.POWER_ASKED)
    if asked is None:
        return
    target = power.Target(asked["target"])
    outcome = await attempts.attempt(_switch(ctx, journal, target, asked), "power")
    if isinstance(outcome, waits.Parked):
        outcome = errors.Bug(f"A change of power tried to wait for {outcome.wait.what}").sentence()
    told = f'Power: "{target}", asked for while the {ctx.run.kind} waits'
    if outcome is None:
        gone: dict[str, Any] = {} if target == power.Target.ON else dict.fromkeys(_AGENT)
        await journal.end_asked_power(f"{told}.", "INFO", power_state=target.result().value, **gone)
    else:
        await journal.end_asked_power(f"{told}: {outcome}", "ERROR", last_error=outcome)
    await ctx.refresh()


async def _switch(ctx: StepContext, journal: RunJournal, target: power.Target, asked: dict[str, Any]) -> None:
    """Raises errors.Conflict where another node has to be switched first: the run is not to wait for that, too."""
    _refuse_late(ctx, asked)
    deaths.refuse_deadly(ctx.run, journal.entries, "a change of power")
    for relative in await power_flow.relatives(ctx, target):
        if relative.power_state != target.result():
            raise errors.Conflict(
                f"Node {relative.uuid}, which shares the power of this one, has to be {target.result()} first",
                hint="Switch that one, then this one again.",
            )
    limit = asked["timeout"] or ctx.kit.settings.power_timeout
    try:
        async with asyncio.timeout(limit + _GRACE):
            await ctx.power.set(ctx, target, limit)
    except TimeoutError as error:
        raise errors.TimedOut(f"The change of power did not end within {limit + _GRACE:.0f} s") from error


def _refuse_late(ctx: StepContext, asked: dict[str, Any]) -> None:
    """Raises errors.Conflict where the run has left the wait in which its node was to be switched.

    Conductors of a version that knows nothing of such changes go on with the run during an upgrade: who switched a hung
    network boot does not mean the writing of the image, an hour later.
    """
    meant: str | None = asked.get("wait")  # absent where a version before asked
    if meant is not None and (ctx.run.wait is None or ctx.run.wait.what != meant):
        raise errors.Conflict(
            f"The node waited for {meant} when that was asked for, and has gone on without it",
            hint="Look at its state, then ask again.",
        )
