"""The one loop that runs every flow: plan, steps with a journal line before and after each, waits, undo, the end.

First start, retry after a crash and takeover all enter here with a lease; what to do is read from the journal
(``domain.runs.fold``), never from memory. May not: know a flow or a driver by name. Invariant: a journal line is
on disk before the effect it announces begins, and after the effect it confirms has ended.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection

from ingot.clients import fence
from ingot.deps import Deps
from ingot.domain import errors, node, runs, secrets
from ingot.flows import attempts, ending, flow, ramdisk_logs, undo, waits
from ingot.flows.journal import RunJournal, opened_plan
from ingot.interfaces import steps
from ingot.interfaces.context import StepContext
from ingot.interfaces.kit import Kit
from ingot.store import nodes, portgroups, ports
from ingot.store import runs as run_store

_log = structlog.get_logger("ingot.run")


class Runner:
    """Works on leases. One for the whole process; of a run it holds nothing between two leases."""

    def __init__(self, deps: Deps, kit: Kit, flows: dict[runs.Kind, flow.Flow]) -> None:
        self._deps = deps
        self._kit = kit
        self._flows = flows
        self._leaving = False

    def let_go(self) -> None:
        """Give every run back at its next journal point: this process is to end."""
        self._leaving = True

    async def run(self, lease: run_store.Lease) -> None:
        """Go on with a run until it waits, ends, or is somebody else's. Raises nothing but cancellation."""
        with structlog.contextvars.bound_contextvars(node=lease.node_uuid, run=lease.run_id):
            try:
                await self._advance(lease)
            except errors.LostLease:
                _log.warning("lease lost")
            except errors.StoreDown as error:
                # Nothing can be noted now: the lease runs out, and the next claim goes on from the journal.
                _log.warning("run left to the next claim", reason=error.sentence())
            except Exception as error:
                _log.exception("run interrupted")
                await ending.interrupted(self._deps, self._flows, lease, attempts.sentence(error))

    async def _advance(self, lease: run_store.Lease) -> None:
        ctx, journal = await self._load(lease)
        with fence.asking(journal.check):
            await self._go_on(lease, ctx, journal)

    async def _go_on(self, lease: run_store.Lease, ctx: StepContext, journal: RunJournal) -> None:
        definition = self._flows[journal.run.kind]
        if journal.run.plan is None and not await self._make_plan(definition, ctx, journal):
            return
        while True:
            position = runs.fold(len(journal.plan), journal.entries)
            if position.failed:
                await ramdisk_logs.keep(ctx, failed=True)
                if await undo.run(definition, ctx, journal, position):
                    await ending.fail(self._deps, definition, ctx, journal, position.failure)
                return
            if position.next == len(journal.plan):
                await ctx.refresh()
                events, columns = definition.success(ctx)
                await journal.finish(runs.Status.SUCCEEDED, events, None, **columns)
                return
            if self._leaving:
                await self._deps.store.run(run_store.release, lease, ctx.memo, self._deps.clock())
                self._deps.bus.ring(lease.node_uuid)
                return
            if not await self._step(definition, ctx, journal, position):
                return

    async def _load(self, lease: run_store.Lease) -> tuple[StepContext, RunJournal]:
        run, found, found_ports, groups, sealed, token, entries = await self._deps.store.read(_read, lease)
        opened: dict[str, Any] = self._deps.sealer.open(lease.node_uuid, sealed) or {}
        run = msgspec.structs.replace(run, plan=opened_plan(self._deps.sealer, run))
        journal = RunJournal(self._deps, lease, run, entries)
        sealed_params = run.params.get("sealed")
        params: dict[str, Any] = self._deps.sealer.open(lease.node_uuid, sealed_params) if sealed_params else {}
        ctx = StepContext(
            node=found,
            ports=found_ports,
            portgroups=groups,
            driver_info=secrets.merge(found.driver_info, opened.get("driver_info", {})),
            instance_info=secrets.merge(found.instance_info, opened.get("instance_info", {})),
            agent_token=self._deps.sealer.open(lease.node_uuid, token),
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
            await journal.set_plan(await attempts.in_time(definition.plan(ctx), ctx.run, self._left(ctx)))

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
                await journal.park(parked.wait, parked.wake_at)
                return False
            case str() as why:
                await journal.mark(position.next, runs.Mark.FAILED, f"{planned.title()}: {why}")
            case None:
                await journal.mark(position.next, runs.Mark.SUCCEEDED)
                await ctx.refresh()
        return True

    async def _work(
        self, definition: flow.Flow, ctx: StepContext, journal: RunJournal, position: runs.Position
    ) -> None:
        """Everything between two journal lines of a step, the first of them included."""
        planned = journal.plan[position.next]
        began = self._deps.clock()
        await self._check(ctx, abortable=planned.abortable or not position.cut)
        if not await _finished_before_crash(definition, ctx, planned, position):
            if not position.cut:
                await journal.mark(position.next, runs.Mark.STARTED)
            if self._deps.clock() - began > self._deps.settings.lease / 2:
                # This process was held up (stopped, swapped out): ask again before anything is done to hardware.
                await self._deps.store.run(run_store.check, journal.lease)
            try:
                await attempts.in_time(_act(definition, ctx, planned), ctx.run, self._left(ctx))
            except errors.Unreachable as error:
                if _may_be_entered_again(definition, ctx, planned):
                    await waits.outwait(ctx, error)
                raise
        await ctx.wait.close()

    async def _check(self, ctx: StepContext, *, abortable: bool) -> None:
        """Stop before a step when somebody asked to, or the whole run took too long."""
        asked, reason = await self._deps.store.read(run_store.get_abort, ctx.run.id)
        if asked and abortable:
            raise errors.Aborted(reason or "Aborted on request")
        if self._left(ctx) <= 0:
            raise attempts.too_long(ctx.run)

    def _left(self, ctx: StepContext) -> float:
        """Seconds until the run's deadline; the time that an operator holds it does not count."""
        now = self._deps.clock()
        held = now - ctx.run.wait.since if ctx.run.wait is not None and ctx.run.wait.held else 0.0
        return ctx.run.deadline + held - now


async def _finished_before_crash(
    definition: flow.Flow, ctx: StepContext, planned: runs.PlannedStep, position: runs.Position
) -> bool:
    """What the resume rule says of a step that a crash cut; a parked step was not cut."""
    if not position.cut or ctx.run.wait is not None or planned.agent:
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
    return planned.agent or steps.get(flow.owner(definition, ctx, planned), planned.step).resume is runs.Resume.AGAIN


async def _act(definition: flow.Flow, ctx: StepContext, planned: runs.PlannedStep) -> None:
    if planned.agent:
        await definition.run_agent_step(ctx, planned)
        return
    owner = flow.owner(definition, ctx, planned)
    steps.get(owner, planned.step)
    await getattr(owner, planned.step)(ctx)


def _read(
    connection: Connection, lease: run_store.Lease
) -> tuple[runs.Run, node.Node, list[node.Port], list[node.Portgroup], str | None, str | None, list[runs.Entry]]:
    sealed, token = nodes.get_secrets(connection, lease.node_uuid)
    return (
        run_store.get(connection, lease.run_id),
        nodes.get(connection, lease.node_uuid),
        ports.list_of_node(connection, lease.node_uuid),
        portgroups.list_of_node(connection, lease.node_uuid),
        sealed,
        token,
        run_store.journal(connection, lease.run_id),
    )
