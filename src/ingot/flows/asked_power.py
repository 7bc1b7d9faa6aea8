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


async def serve(ctx: StepContext, journal: RunJournal) -> None:
    """Make the change that was asked for, if one was. A failure is told on the node, and the run goes on."""
    asked: dict[str, Any] | None = ctx.memo.get(runs.POWER_ASKED)
    if asked is None:
        return
    target = power.Target(asked["target"])
    outcome = await attempts.attempt(_switch(ctx, journal, target, asked["timeout"]), "power")
    if isinstance(outcome, waits.Parked):
        outcome = errors.Bug(f"A change of power tried to wait for {outcome.wait.what}").sentence()
    if outcome is None:
        await journal.change_node(target_power_state=None, power_state=target.result().value)
    else:
        await journal.change_node(target_power_state=None, last_error=outcome)
    told = f'Power: "{target}", asked for while the {ctx.run.kind} waits'
    await journal.note(f"{told}: {outcome}" if outcome else f"{told}.", "ERROR" if outcome else "INFO")
    await journal.forget(runs.POWER_ASKED)
    await ctx.refresh()


async def _switch(ctx: StepContext, journal: RunJournal, target: power.Target, asked: float | None) -> None:
    """Raises errors.Conflict where another node has to be switched first: the run is not to wait for that, too."""
    deaths.refuse_deadly(ctx.run, journal.entries, "a change of power")
    for relative in await power_flow.relatives(ctx, target):
        if relative.power_state != target.result():
            raise errors.Conflict(
                f"Node {relative.uuid}, which shares the power of this one, has to be {target.result()} first",
                hint="Switch that one, then this one again.",
            )
    limit = asked or ctx.kit.settings.power_timeout
    try:
        async with asyncio.timeout(limit + _GRACE):
            await ctx.power.set(ctx, target, limit)
    except TimeoutError as error:
        raise errors.TimedOut(f"The change of power did not end within {limit + _GRACE:.0f} s") from error
