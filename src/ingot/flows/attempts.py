"""One try at a piece of a run: what came of it is a value, so that plan, steps and undo read alike.

The one place of the flows that catches every error: an error of a step belongs into the journal. May not: write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import structlog

from ingot.domain import errors, runs
from ingot.flows import waits

T = TypeVar("T")
TO_THE_TOP = (errors.LostLease, errors.StoreDown)
"""No fault of the step: the run goes on elsewhere, or later, from what the journal says."""
_log = structlog.get_logger("ingot.run")


async def attempt(work: Awaitable[None], what: str) -> waits.Parked | str | None:
    """None when ``work`` is done, the wait it was left for, or the sentence that says why it failed.

    ``what`` names it in the log. Raises TO_THE_TOP alone.
    """
    try:
        await work
    except waits.Parked as parked:
        return parked
    except TO_THE_TOP:
        raise
    except Exception as error:
        if not isinstance(error, errors.IngotError):
            _log.exception("step raised", step=what)
        return sentence(error)
    return None


LOOK = (
    "See with ingot node why NODE how long each step took and what the ramdisk's agent and the console said last; mend "
    "what held it up, then start the operation again."
)


async def in_time(work: Awaitable[T], limit: float, late: errors.TimedOut) -> T:
    """Await ``work``, but no longer than ``limit`` seconds: a driver that hangs must not hold a node for ever.

    Raises ``late`` then.
    """
    scope = asyncio.timeout(max(0.0, limit))
    try:
        async with scope:
            return await work
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise late from error


def too_long(run: runs.Run, what: str) -> errors.TimedOut:
    """The error of a run that outlasted its deadline in the middle of ``what``: a step's title, or words for it."""
    return errors.TimedOut(
        f"The {run.kind} did not end within {run.deadline - run.started_at:.0f} s: its time ran out in {what}",
        hint=LOOK,
    )


def sentence(error: Exception) -> str:
    """What people read of an error: our own speak for themselves, strangers are bugs with their type named."""
    if isinstance(error, errors.IngotError):
        return error.sentence()
    return errors.Bug(f"ingot met an unforeseen {type(error).__name__}").sentence()
