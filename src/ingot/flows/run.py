"""The one loop that runs every flow: plan, steps with a journal line before and after each, waits, undo, the end.

First start, retry after a crash and takeover all enter here with a lease; what to do is read from the journal
(``domain.runs.fold``), never from memory. May not: know a flow or a driver by name. Invariant: a journal line is
on disk before the effect it announces begins, and after the effect it confirms has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from ingot.clients import fence
from ingot.deps import Deps
from ingot.domain import errors, node, runs, secrets
from ingot.flows import (
    asked_power,
    attempts,
    child_steps,
    deaths,
    ending,
    flow,
    inheritance,
    ramdisk_logs,
    suspects,
    undo,
    waits,
)
from ingot.flows.inheritance import Taken
from ingot.flows.journal import RunJournal, opened_plan
from ingot.interfaces import steps
from ingot.interfaces.context import StepContext
from ingot.interfaces.kit import Kit
from ingot.store import runs as run_store

_log = structlog.get_logger("ingot.run")
_TakenUp = Callable[[runs.Run, node.Node], None]


class Runner:
    """Works on leases. One for the whole process; of a run it holds nothing between two leases.

    ``taken_up``: called with a run and its node whenever it is taken up, at its beginning as after each of its waits.
    """

    def __init__(
        self, deps: Deps, kit: Kit, flows: dict[runs.Kind, flow.Flow], taken_up: _TakenUp = lambda _run, _node: None
    ) -> None:
        self._deps = deps
        self._kit = kit
        self._flows = flows
        self._taken_up = taken_up
        self._leaving = False
        self._suspects = suspects.Suspects()

    def let_go(self) -> None:
        """Give every run back at its next journal point: this process is to end."""
        self._leaving = True

    async def load(self, leases: list[run_store.Lease]) -> dict[run_store.Lease, Taken]:
        """What is stored of many runs, read at once; each that is not among it has to be read by itself."""
        try:
            return await inheritance.load(self._deps, leases) if len(leases) > 1 else {}
        except Exception:
            _log.exception("runs not read together", runs=len(leases))
            return {}

    async def run(self, lease: run_store.Lease, taken: Taken | None = None) -> None:
        """Go on with a run until it waits, ends, or is somebody else's. Raises nothing but cancellation.

        ``taken``: what ``load`` gave a moment ago, None to read it here.
        """
        with structlog.contextvars.bound_contextvars(node=lease.node_uuid, run=lease.run_id):
            try:
                await self._advance(lease, taken)
            except errors.LostLease:
                _log.warning("lease lost")
            except errors.StoreDown as error:
                # Nothing can be noted now: the lease runs out, and the next claim goes on from the journal.
                _log.warning("run left to the next claim", reason=error.sentence())
            except Exception as error:
                _log.exception("run interrupted")
                await ending.interrupted(self._deps, self._flows, lease, attempts.sentence(error))

    async def _advance(self, lease: run_store.Lease, taken: Taken | None) -> None:
        taken = taken or await inheritance.take(self._deps, lease)
        if not deaths.is_suspect(taken.run, taken.entries):
            await self._go_on(*self._open(lease, taken))
            return
        began = self._deps.clock()
        async with self._suspects.seat() as leave:
            taken = await inheritance.take_seated(self._deps, lease, began)  # the wait may have been long
            ctx, journal = self._open(lease, taken)
            journal.moved = leave
            await self._go_on(ctx, journal)

    async def _go_on(self, ctx: StepContext, journal: RunJournal) -> None:
        self._taken_up(journal.run, ctx.node)
        with fence.asking(journal.check):
            await asked_power.serve(ctx, journal)
            await self._interpret(ctx, journal)

    async def _interpret(self, ctx: StepContext, journal: RunJournal) -> None:
        definition = self._flows[journal.run.kind]
        if journal.run.plan is None and not await self._make_plan(definition, ctx, journal):
            return
        while True:
            position = runs.fold(len(journal.plan), journal.entries)
            if position.failed:
                await ramdisk_logs.keep(ctx, failed=True, entries=journal.entries)
                if await undo.run(definition, ctx, journal, position):
                    await ending.fail(self._deps, definition, ctx, journal, position.failure)
                return
            if position.next == len(journal.plan):
                events, columns = definition.success(ctx)
                await journal.finish(runs.Status.SUCCEEDED, events, None, **columns)
                return
            if self._leaving:
                await journal.release()
                self._deps.bus.ring(journal.lease.node_uuid)
                return
            if not await self._step(definition, ctx, journal, position):
                return

    def _open(self, lease: run_store.Lease, taken: Taken) -> tuple[StepContext, RunJournal]:
        found = taken.node.node
        opened: dict[str, Any] = self._deps.sealer.open(lease.node_uuid, taken.node.sealed) or {}
        run = msgspec.structs.replace(taken.run, plan=opened_plan(self._deps.sealer, taken.run))
        journal = RunJournal(self._deps, lease, run, taken.entries, found)
        sealed_params = run.params.get("sealed")
        params: dict[str, Any] = self._deps.sealer.open(lease.node_uuid, sealed_params) if sealed_params else {}
        ctx = StepContext(
            node=found,
            ports=taken.node.ports,
            portgroups=taken.node.portgroups,
            driver_info=secrets.merge(found.driver_info, opened.get("driver_info", {})),
            instance_info=secrets.merge(found.instance_info, opened.get("instance_info", {})),
            agent_token=self._deps.sealer.open(lease.node_uuid, taken.node.token),
            kit=self._kit,
            registry=self._deps.registry,
            keep_internal=journal.keep_internal,
            run=run,
            journal=journal,
            wait=waits.RowWaits(run.wait, self._deps.clock, journal.resumed),
            now=self._deps.clock,
            params={**{key: value for key, value in run.params.items() if key != "sealed"}, **params},
            memo=run.memo,
        )
        return ctx, journal

    async def _make_plan(self, definition: flow.Flow, ctx: StepContext, journal: RunJournal) -> bool:
        async def plan() -> None:
            deaths.refuse_deadly(ctx.run, journal.entries, "making its plan")
            late = attempts.too_long(ctx.run, "making its plan")
            journal.set_plan(await attempts.in_time(definition.plan(ctx), self._left(ctx), late))

        outcome = await attempts.attempt(plan(), "plan")
        if isinstance(outcome, waits.Parked):
            outcome = errors.Bug(f"The plan of a {ctx.run.kind} tried to wait for {outcome.wait.what}").sentence()
        if outcome is not None:
            await ending.fail(self._deps, definition, ctx, journal, outcome)
        return outcome is None

    async def _step(
        self, definition: flow.Flow, ctx: StepContext, journal: RunJournal, position: runs.Position
    ) -> bool:
        """Run one step to its end or into a wait; whether the loop goes on."""
        planned = journal.plan[position.next]
        ctx.index, ctx.args = position.next, planned.args
        match await attempts.attempt(self._work(definition, ctx, journal, position), planned.title()):
            case waits.Parked() as parked:
                # However seldom the step wants to look: what waits has its end at the run's deadline, not after it.
                last = parked.wake_at if parked.wait.held else ctx.run.deadline
                await journal.park(parked.wait, min(parked.wake_at, last))
                return False
            case str() as why:
                await journal.mark(position.next, runs.Mark.FAILED, f"{planned.title()}: {why}")
            case None:
                journal.mark_later(position.next, runs.Mark.SUCCEEDED)
        return True

    async def _work(
        self, definition: flow.Flow, ctx: StepContext, journal: RunJournal, position: runs.Position
    ) -> None:
        """Everything between two journal lines of a step, the first of them included."""
        planned = journal.plan[position.next]
        if self._left(ctx) <= 0:
            raise attempts.too_long(ctx.run, f"the steps before {planned.title()}")
        deaths.refuse_deadly(ctx.run, journal.entries, planned.title())
        if not position.cut:
            # What the run was parked with is over, and a hold's time, which its deadline has got, must not count again.
            ctx.run = msgspec.structs.replace(ctx.run, wait=None)
            ctx.node, ctx.agent_token = await journal.begin(position.next, ctx.agent_token)
            # Who ended the hold while this lease had the run made it later.
            ctx.run = msgspec.structs.replace(ctx.run, deadline=journal.run.deadline)
            await self._do(definition, ctx, planned)
        elif not await self._is_done(definition, ctx, journal, planned):
            await self._do(definition, ctx, planned)
        await ctx.wait.close()

    async def _is_done(
        self, definition: flow.Flow, ctx: StepContext, journal: RunJournal, planned: runs.PlannedStep
    ) -> bool:
        """Whether a step that had begun before needs no more to be done. Raises errors.Aborted, errors.LostLease."""
        began = self._deps.clock()
        asked, reason = await self._deps.store.peek(run_store.check, journal.lease)
        if asked and planned.abortable:
            raise errors.Aborted(reason or "Aborted on request")
        if await _finished_before_crash(definition, ctx, planned):
            return True
        if self._deps.clock() - began > self._deps.settings.lease / 2:
            # This process was held up (stopped, swapped out): ask again before anything is done to hardware.
            await self._deps.store.run(run_store.check, journal.lease)
        return False

    async def _do(self, definition: flow.Flow, ctx: StepContext, planned: runs.PlannedStep) -> None:
        """The step itself, which may wait for a BMC that is away."""
        try:
            late = attempts.too_long(ctx.run, f"the step {planned.title()}")
            await attempts.in_time(_act(definition, ctx, planned), self._left(ctx), late)
        except errors.Unreachable as error:
            if _may_be_entered_again(definition, ctx, planned):
                await waits.outwait(ctx, error)
            raise

    def _left(self, ctx: StepContext) -> float:
        """Seconds until the run's deadline; the time that an operator holds it does not count."""
        now = self._deps.clock()
        held = now - ctx.run.wait.since if ctx.run.wait is not None and ctx.run.wait.held else 0.0
        return ctx.run.deadline + held - now


async def _finished_before_crash(definition: flow.Flow, ctx: StepContext, planned: runs.PlannedStep) -> bool:
    """What the resume rule says of a step that had begun before; a parked one was not cut."""
    if ctx.run.wait is not None or planned.elsewhere:
        return False
    owner = flow.owner(definition, ctx, planned)
    info = steps.get(owner, planned.step)
    match info.resume:
        case runs.Resume.AGAIN:
            return False
        case runs.Resume.CHECK:
            return bool(await getattr(owner, info.probe or "")(ctx))
        case runs.Resume.FAIL:
            raise errors.Misbehaved(
                f"The conductor stopped in the middle of {planned.title()}, which must not run twice",
                hint="Look at the machine, then start the operation again.",
            )


def _may_be_entered_again(definition: flow.Flow, ctx: StepContext, planned: runs.PlannedStep) -> bool:
    """Whether a step may be begun anew after it was cut: all but those that say otherwise."""
    if planned.elsewhere:
        return True
    return steps.get(flow.owner(definition, ctx, planned), planned.step).resume is runs.Resume.AGAIN


async def _act(definition: flow.Flow, ctx: StepContext, planned: runs.PlannedStep) -> None:
    if planned.child is not None:
        await child_steps.run(ctx, planned, planned.child)
        return
    if planned.agent:
        await definition.run_agent_step(ctx, planned)
        return
    owner = flow.owner(definition, ctx, planned)
    steps.get(owner, planned.step)
    await getattr(owner, planned.step)(ctx)
