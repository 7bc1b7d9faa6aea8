"""Bringing a machine's power where it is wanted: what every power implementation does around its own order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from ingot.domain import errors, power

_FIRST_LOOK = 0.3
_LONGEST_PAUSE = 3.0
_UNTOLD = 10.0  # an order whose answer was lost is given again when nothing has come of it by then


async def until(wanted: power.Power, look: Callable[[], Awaitable[power.Power]], timeout: float, name: str) -> None:
    """Look, with growing pauses, until the power is ``wanted``.

    A BMC that cannot be reached meanwhile is looked at again: many drop their connections while the power changes.
    Raises errors.TimedOut after ``timeout`` seconds; ``name`` says whose power in it.
    """
    pause, missed = _FIRST_LOOK, ""
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    if await look() == wanted:
                        return
                    missed = ""
                except errors.Unreachable as error:
                    missed = f" (it could not be asked: {error.message.rstrip('.')})"
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
    except TimeoutError as error:
        raise errors.TimedOut(
            f'{name} accepted the order but its power was not "{wanted}" within {timeout:.0f} s{missed}',
            hint="Look at the machine; a soft power off needs an operating system that obeys.",
        ) from error


async def reach(
    wanted: power.Power,
    look: Callable[[], Awaitable[power.Power]],
    order: Callable[[], Awaitable[object]],
    timeout: float,
    name: str,
    *,
    once: bool = False,
) -> None:
    """Give the order unless the power is ``wanted`` already, then look until it is.

    ``once``: an order whose answer was lost is not given again, but waited for. So is a graceful shutdown: it takes
    minutes, and to an operating system a second one is a person who presses the button again.
    Raises as ``until``, and errors.Unreachable when it is the BMC that is away: then nobody knows of the machine.
    """
    if await look() == wanted:
        return
    lost: errors.Unreachable | None = None
    try:
        await _give(order, wanted, look)
    except errors.Unreachable as error:
        if not error.sent:
            raise
        lost = error
    if lost and not once:
        with contextlib.suppress(errors.TimedOut):
            await until(wanted, look, min(_UNTOLD, timeout), name)
            return
        await _give(order, wanted, look)
        lost = None
    try:
        await until(wanted, look, timeout, name)
    except errors.TimedOut as late:
        if await look() != wanted:
            raise lost or late from None


async def _give(
    order: Callable[[], Awaitable[object]], wanted: power.Power, look: Callable[[], Awaitable[power.Power]]
) -> None:
    """Give the order; a refusal counts only where the power is not ``wanted``.

    "Not possible in the present state" is no failure when somebody was quicker, or an answer got lost.
    """
    try:
        await order()
    except errors.Misbehaved:
        if await look() != wanted:
            raise
