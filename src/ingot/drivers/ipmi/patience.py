"""What a run does while its BMC is away: it waits, as a row, and goes on when the BMC is back.

Why: BMCs restart, update their firmware or lose their network for minutes; a deploy of an hour should survive that.
May not: wait outside of a run, in the undo of a failed one, or where somebody waits for the answer (verify, power).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ingot.domain import errors
from ingot.interfaces.context import Context, StepContext, WaitFor

T = TypeVar("T")

LONGEST = 900.0
USUAL = 120.0
_POLL = 5.0


async def with_bmc(ctx: Context, name: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do ``work``, which must bear repetition; in a long run again and again while the BMC is unreachable.

    Raises what ``work`` raises; errors.TimedOut once the BMC called ``name`` was away for ``LONGEST`` seconds.
    """
    if not isinstance(ctx, StepContext) or not ctx.patient:
        return await work()
    results: list[T] = []
    missed = ""

    async def done() -> bool:
        nonlocal missed
        try:
            results.append(await work())
        except errors.Unreachable as error:
            missed = error.message
            return False
        return True

    async def why() -> str:
        return missed

    what = WaitFor(f"BMC {name} to answer again", LONGEST, USUAL, poll=_POLL, explain=why)
    await ctx.wait.until(done, what)
    return results[0]
