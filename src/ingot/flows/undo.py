"""Taking back what a failed run had begun. Invariant: an undo that fails is noted and does not stop the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ingot.domain import errors, runs
from ingot.flows import attempts, deaths, flow, waits
from ingot.flows.journal import RunJournal
from ingot.interfaces import steps
from ingot.interfaces.context import StepContext

_LIMIT = 900.0
"""Seconds one undo may take: the run's own deadline may have passed already."""


async def run(definition: flow.Flow, ctx: StepContext, journal: RunJournal, position: runs.Position) -> bool:
    """Undo, last step first; whether it is through (False: an undo waits and the run is parked)."""
    ctx.undoing = True
    for index in position.to_undo:
        planned = journal.plan[index]
        ctx.index, ctx.args = index, planned.args
        try:
            undo = _find(definition, ctx, planned)
        except errors.IngotError as error:
            await journal.mark(index, runs.Mark.UNDO_FAILED, error.sentence())
            continue
        if undo is None:
            continue
        if not any((each.step, each.mark) == (index, runs.Mark.UNDO_STARTED) for each in journal.entries):
            await journal.mark(index, runs.Mark.UNDO_STARTED)
        match await attempts.attempt(_work(undo, ctx, journal), f"undo of {planned.title()}"):
            case waits.Parked() as parked:
                await journal.park(parked.wait, parked.wake_at)
                return False
            case None:
                await journal.mark(index, runs.Mark.UNDO_FINISHED)
            case str() as why:
                await journal.mark(index, runs.Mark.UNDO_FAILED, why)
    return True


async def _work(undo: Callable[[StepContext], Awaitable[None]], ctx: StepContext, journal: RunJournal) -> None:
    what = f"undoing {journal.plan[ctx.index].title()}"
    deaths.refuse_deadly(ctx.run, journal.entries, what)
    late = errors.TimedOut(f"{what.capitalize()} did not end within {_LIMIT:.0f} s", hint=attempts.LOOK)
    await attempts.in_time(undo(ctx), _LIMIT, late)


def _find(
    definition: flow.Flow, ctx: StepContext, planned: runs.PlannedStep
) -> Callable[[StepContext], Awaitable[None]] | None:
    if planned.elsewhere:
        return None
    owner = flow.owner(definition, ctx, planned)
    info = steps.find(owner, planned.step)
    return None if info is None or info.undo is None else getattr(owner, info.undo)
