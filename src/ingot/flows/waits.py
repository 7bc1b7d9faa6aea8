"""Waiting without holding anything: a step that must wait is left, its run becomes a row, and is entered again.

May not: sleep. Invariant: leaving a step is an exception (``Parked``) that only flows/attempts.py catches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from ingot.domain import errors, runs
from ingot.interfaces.context import StepContext, WaitFor

_GROWTH = 1.5
_LONGEST_POLL = 30.0
BMC_AWAY = 900.0
BMC_USUAL = 120.0


class Parked(BaseException):
    """The step waits; the run is to be given back until ``wake_at`` (epoch seconds) or a ring."""

    def __init__(self, wait: runs.Wait, wake_at: float) -> None:
        super().__init__(wait.what)
        self.wait = wait
        self.wake_at = wake_at


class Satisfied(Protocol):
    """What is told when a wait ends."""

    def __call__(self) -> Awaitable[None]:
        """Note that the run goes on."""
        ...


class RowWaits:
    """The waits of one entered step. ``present``: the wait the run was parked with, None if it was not."""

    def __init__(self, present: runs.Wait | None, now: Callable[[], float], satisfied: Satisfied) -> None:
        self._present = present
        self._now = now
        self._satisfied = satisfied

    async def until(self, condition: Callable[[], Awaitable[bool]], what: WaitFor) -> None:
        """Return when ``condition()`` is true, else leave the step; errors.TimedOut at the deadline."""
        if await condition():
            # A step may wait for several things in turn: only the wait it was parked with is over, others count on.
            if self._present is not None and self._present.what == what.what:
                self._present = None
                await self._satisfied()
            return
        now = self._now()
        wait = self._begin(what, now)
        if now >= wait.deadline:
            raise await _timed_out(what, now - wait.since)
        if what.explain:
            wait = msgspec.structs.replace(wait, why=reason(await what.explain(), what.hint))
        raise Parked(wait, min(wait.deadline, now + _pause(what, now - wait.since)))

    async def close(self) -> None:
        """The step has ended: whatever it was parked with is over, even if the step asked for it in other words."""
        if self._present is not None:
            self._present = None
            await self._satisfied()

    def _begin(self, what: WaitFor, now: float) -> runs.Wait:
        """Keep counting from the first time this was waited for."""
        if self._present is not None and self._present.what == what.what:
            return self._present
        return runs.Wait(what.what, now, now + what.timeout, what.usual, what.on_agent, what.held)


def reason(cause: str | None, cure: str | None) -> str | None:
    """What a person reads while a run waits: the cause, as far as it is known, and what to do about it."""
    return f"{cause.rstrip('.')}. {cure}" if cause and cure else cause


async def outwait(ctx: StepContext, error: errors.Unreachable) -> None:
    """Leave the step until its BMC answers again; return at once where it was another peer, or the run has no patience.

    BMCs restart, are updated, lose their network for minutes, and an hour's deployment should outlive that. The step is
    entered again from its beginning, which all steps bear that a crash may cut. Raises Parked; errors.TimedOut once the
    BMC was away for ``BMC_AWAY`` seconds.
    """
    if not error.bmc or not ctx.patient:
        return

    async def back() -> bool:
        return False  # only entering the step tells

    async def why() -> str:
        return error.message

    what = WaitFor(f"{error.bmc} to answer again", BMC_AWAY, BMC_USUAL, explain=why, hint=error.hint)
    await ctx.wait.until(back, what)


def _pause(what: WaitFor, waited: float) -> float:
    """Look often at first, then less and less: a long wait costs few looks."""
    pause = what.poll
    while pause < waited / 4 and pause < _LONGEST_POLL:
        pause *= _GROWTH
    return pause


async def _timed_out(what: WaitFor, waited: float) -> errors.TimedOut:
    cause = await what.explain() if what.explain else None
    text = f"Waited {waited:.0f} s for {what.what}"
    if what.usual:
        text += f" (usual {what.usual:.0f} s)"
    return errors.TimedOut(f"{text}: {cause}" if cause else text, hint=what.hint)
