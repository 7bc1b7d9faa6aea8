"""Reading what the hardware says of itself into the node's record: boot mode, firmware settings, firmware versions.

May not: fail a flow. A BMC that answers one of these badly is told of in the history; the record stays as it was.
Invariant: what took long is read once in a run, so that its step ends where no process lives for all it reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ingot.domain import errors
from ingot.interfaces.context import StepContext

_LONGEST, _SHORTEST = 120.0, 1.0
"""Seconds for one reading, or a quarter of what its run has left: a sick one must not use the run's time up."""
_LONG = 1.0
"""Seconds; a reading that took less is taken again where a crash cuts its step, which costs less than to note it."""


async def refresh(ctx: StepContext) -> None:
    """Read everything that the node's interfaces can tell."""
    await _try(ctx, "boot mode", lambda: _modes(ctx))
    await refresh_firmware(ctx)


async def refresh_firmware(ctx: StepContext) -> None:
    """Read firmware settings and versions alone: what is known of the boot mode is better."""
    await _try(ctx, "BIOS settings", lambda: ctx.interface("bios").cache_settings(ctx))
    await _try(ctx, "firmware versions", lambda: ctx.interface("firmware").cache_components(ctx))


async def _modes(ctx: StepContext) -> None:
    told = {
        "boot_mode": await ctx.management.get_boot_mode(ctx),
        "secure_boot": await ctx.management.get_secure_boot(ctx),
    }
    # Hardware that does not tell leaves what inspection found.
    known = {name: value for name, value in told.items() if value is not None}
    if known:
        await ctx.journal.change_node(**known)


async def _try(ctx: StepContext, what: str, read: Callable[[], Awaitable[None]]) -> None:
    key, began = f"{what} read", ctx.now()
    if key in ctx.memo:
        return
    limit = max(_SHORTEST, min(_LONGEST, (ctx.run.deadline - began) / 4))
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            await read()
    except errors.NotSupported:
        return
    except TimeoutError as error:
        if not scope.expired():
            raise errors.Bug(f"Reading the {what} met a TimeoutError") from error
        await ctx.journal.note(f"The {what} could not be read: it took more than {limit:.0f} s.", "WARNING")
    except (errors.Unreachable, errors.Misbehaved, errors.Refused) as error:
        await ctx.journal.note(f"The {what} could not be read: {error.sentence()}", "WARNING")
    if ctx.now() - began > _LONG:
        ctx.memo[key] = True
        await ctx.journal.remember(key, True)
