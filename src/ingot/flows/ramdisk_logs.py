"""Have the agent pack its logs before its machine is switched off, and keep them with the run.

May not: fail or hold up a run, also where what comes kills the process. Invariant: a run whose logs could not be had
says why in the node's history.
"""

from __future__ import annotations

import asyncio
import binascii

from ingot.domain import errors, runs
from ingot.flows import deaths
from ingot.interfaces import agent
from ingot.interfaces.context import StepContext

_LIMIT = 25.0
_KEY = "logs"


async def keep(ctx: StepContext, *, failed: bool, entries: list[runs.Entry] | None = None) -> None:
    """Collect them if the setting asks for it and an agent was heard of lately; once per run.

    ``entries``: the run's journal where this is no part of a step, and so nothing else counts who died of it.
    """
    wanted = ctx.kit.settings.deploy_logs_collect
    if wanted == "never" or not (failed or wanted == "always") or _KEY in ctx.memo:
        return
    await ctx.refresh()
    if not (ctx.agent_token and agent.is_alive(ctx, ctx.now())):
        return
    try:
        if entries is not None:
            deaths.refuse_deadly(ctx.run, entries, "fetching the ramdisk's logs")
        async with asyncio.timeout(_LIMIT):
            outcome = await _keep(ctx)
    except TimeoutError:
        outcome = f"its agent did not answer in {_LIMIT:.0f} s"
    except errors.IngotError as error:
        outcome = error.message
    ctx.memo[_KEY] = outcome
    await ctx.journal.remember(_KEY, outcome)
    if outcome:
        await ctx.journal.note(f"The ramdisk's logs were not kept: {outcome}", "WARNING")


async def _keep(ctx: StepContext) -> str:
    """Why they were not kept; empty when they were."""
    answer = await agent.client(ctx).run("log.collect_system_logs", {})
    text = answer.get("system_logs")
    try:
        bundle = binascii.a2b_base64(text, strict_mode=True) if isinstance(text, str) else b""
    except ValueError:
        bundle = b""
    if not bundle:
        return "its agent sent none"
    limit = ctx.kit.settings.deploy_logs_limit
    if len(bundle) > min(limit, 2**24 - 1):
        return f"they have {len(bundle)} bytes, more than the setting deploy_logs_limit allows"
    await ctx.journal.keep_logs(bundle)
    return ""
