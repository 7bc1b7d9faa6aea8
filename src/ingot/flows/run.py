"""The one loop that runs every flow: plan, steps with a journal line before and after each, waits, undo, the end.

First start, retry after a crash and takeover all enter here with a lease; what to do is read from the journal
(``domain.runs.fold``), never from memory. May not: know a flow or a driver by name. Invariant: a journal line is
on disk before the effect it announces begins, and after the effect it confirms has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, node, runs, secrets, states
from ingot.flows import waits
from ingot.flows.journal import RunJournal, opened_plan
from ingot.interfaces import steps
from ingot.interfaces.context import StepContext
from ingot.interfaces.kit import Kit
from ingot.store import nodes, ports
from ingot.store import runs as run_store

T = TypeVar("T")

_log = structlog.get_logger("ingot.run")
_INTERRUPTED = "interrupted"
_TRIES = 6
"""How often a run that cannot even be taken up is tried (over about a minute) without getting a step further."""
_UNDO_LIMIT = 900.0
"""Seconds one undo may take: the run's own deadline may have passed already."""


_TO_THE_TOP = (errors.LostLease, errors.StoreDown)
"""No fault of the step: the run goes on elsewhere, or later, from what the journal says."""


class Flow(Protocol):
    """A definition: what a kind of run plans and where it leads. Its own steps are methods declared with @step."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """The steps, in order. Interface "flow" means a step of the definition itself."""
        ...

    def success(self, ctx: StepContext) -> tuple[states.Event | None, dict[str, Any]]:
        """The event that ends a run that went well, and node columns to set with it."""
        ...

    def failure(self, found: node.Node, aborted: bool) -> tuple[states.Event | None, dict[str, Any]]:
        """The event that ends a run that failed, and node columns to set with it."""
        ...

    async def run_agent_step(self, ctx: StepContext, planned: runs.PlannedStep) -> None:
        """Have the ramdisk's agent do a step of the plan."""
        ...


class Runner:
    """Works on leases. One for the whole process; it holds nothing between two leases."""

    def __init__(self, deps: Deps, kit: Kit, flows: dict[runs.Kind, Flow]) -> None:
        self._deps = deps
        self._kit = kit
        self._flows = flows

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
                await self._interrupted(lease, _sentence(error))

    async def _interrupted(self, lease: run_store.Lease, reason: str) -> None:
        """Something outside of all steps failed: try again a little later, a few times, then fail the run."""
        try:
            run, found, entries = await self._deps.store.read(_read_run, lease)
            now = self._deps.clock()
            before: dict[str, int] = run.memo.get(_INTERRUPTED, {})
            tries = 1 + (before["tries"] if before.get("entries") == len(entries) else 0)
            if tries < _TRIES and now < run.deadline:
                memo = {**run.memo, _INTERRUPTED: {"entries": len(entries), "tries": tries}}
                await self._deps.store.run(run_store.release, lease, memo, now + 2**tries)
                return
            event, columns = self._flows[run.kind].failure(found, False)
            if event is not None and states.find_next(found.provision_state, event) is None:
                event = None
            journal = RunJournal(self._deps, lease, run, entries)
            await journal.finish(runs.Status.FAILED, event, f"Gave up after {tries} tries: {reason}", **columns)
        except errors.IngotError as error:
            # The database itself is out of reach, or the run is not ours: the lease runs out, the next claim goes on.
            _log.warning("run left to the next claim", reason=error.sentence())
        except Exception:
            _log.exception("run cannot even be read: left to the next claim")

    async def _advance(self, lease: run_store.Lease) -> None:
        ctx, journal = await self._load(lease)
        flow = self._flows[journal.run.kind]
        if journal.run.plan is None and not await self._make_plan(flow, ctx, journal):
            return
        while True:
            position = runs.fold(len(journal.plan), journal.entries)
            if position.failed:
                if await self._undo(flow, ctx, journal, position):
                    await self._fail(flow, ctx, journal, position.failure)
                return
            if position.next == len(journal.plan):
                await ctx.refresh()
                event, columns = flow.success(ctx)
                await journal.finish(runs.Status.SUCCEEDED, event, None, **columns)
                return
            if not await self._step(flow, ctx, journal, position):
                return

    async def _load(self, lease: run_store.Lease) -> tuple[StepContext, RunJournal]:
        run, found, found_ports, sealed, token, entries = await self._deps.store.read(_read, lease)
        opened: dict[str, Any] = self._deps.sealer.open(lease.node_uuid, sealed) or {}
        run = msgspec.structs.replace(run, plan=opened_plan(self._deps.sealer, run))
        journal = RunJournal(self._deps, lease, run, entries)
        sealed_params = run.params.get("sealed")
        params: dict[str, Any] = self._deps.sealer.open(lease.node_uuid, sealed_params) if sealed_params else {}
        ctx = StepContext(
            node=found,
            ports=found_ports,
            driver_info=secrets.merge(found.driver_info, opened.get("driver_info", {})),
            instance_info=secrets.merge(found.instance_info, opened.get("instance_info", {})),
            agent_token=self._deps.sealer.open(lease.node_uuid, token),
            kit=self._kit,
            registry=self._deps.registry,
            run=run,
            journal=journal,
            wait=waits.RowWaits(run.wait, self._deps.clock, journal.resumed),
            now=self._deps.clock,
            params={**{key: value for key, value in run.params.items() if key != "sealed"}, **params},
            memo=run.memo,
        )
        return ctx, journal

    async def _make_plan(self, flow: Flow, ctx: StepContext, journal: RunJournal) -> bool:
        try:
            planned = await self._in_time(ctx, flow.plan(ctx), self._left(ctx))
            await journal.set_plan(planned)
        except _TO_THE_TOP:
            raise
        except waits.Parked as parked:
            why = errors.Bug(f"The plan of a {ctx.run.kind} tried to wait for {parked.wait.what}")
            await self._fail(flow, ctx, journal, why.sentence())
            return False
        except Exception as error:
            await self._fail(flow, ctx, journal, _sentence(error))
            return False
        return True

    async def _step(self, flow: Flow, ctx: StepContext, journal: RunJournal, position: runs.Position) -> bool:
        """Run one step to its end or into a wait; whether the loop goes on."""
        index = position.next
        planned = journal.plan[index]
        ctx.index, ctx.args = index, planned.args
        began = self._deps.clock()
        try:
            await self._check(ctx, abortable=planned.abortable or not position.cut)
            if not await self._finished_before_crash(flow, ctx, planned, position):
                if not position.cut:
                    await journal.mark(index, runs.Mark.STARTED)
                if self._deps.clock() - began > self._deps.settings.lease / 2:
                    # This process was held up (stopped, swapped out): ask again before anything is done to hardware.
                    await self._deps.store.run(run_store.check, journal.lease)
                await self._in_time(ctx, self._act(flow, ctx, planned), self._left(ctx))
            await ctx.wait.close()
        except waits.Parked as parked:
            await journal.park(parked.wait, parked.wake_at)
            return False
        except _TO_THE_TOP:
            raise
        except Exception as error:
            if not isinstance(error, errors.IngotError):
                _log.exception("step raised", step=planned.title())
            await journal.mark(index, runs.Mark.FAILED, f"{planned.title()}: {_sentence(error)}")
            return True
        await journal.mark(index, runs.Mark.SUCCEEDED)
        await ctx.refresh()
        return True

    async def _check(self, ctx: StepContext, *, abortable: bool) -> None:
        """Stop before a step when somebody asked to, or the whole run took too long."""
        asked, reason = await self._deps.store.read(run_store.get_abort, ctx.run.id)
        if asked and abortable:
            raise errors.Aborted(reason or "Aborted on request")
        if self._left(ctx) <= 0:
            raise _too_long(ctx.run)

    def _left(self, ctx: StepContext) -> float:
        """Seconds until the run's deadline."""
        return ctx.run.deadline - self._deps.clock()

    async def _in_time(self, ctx: StepContext, work: Awaitable[T], limit: float) -> T:
        """Await ``work``, but no longer than ``limit`` seconds: a driver that hangs must not hold a node for ever."""
        scope = asyncio.timeout(max(0.0, limit))
        try:
            async with scope:
                return await work
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise _too_long(ctx.run) from error

    async def _finished_before_crash(
        self, flow: Flow, ctx: StepContext, planned: runs.PlannedStep, position: runs.Position
    ) -> bool:
        """What the resume rule says of a step that a crash cut; a parked step was not cut."""
        if not position.cut or ctx.run.wait is not None or planned.agent:
            return False
        owner = self._owner(flow, ctx, planned)
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

    async def _act(self, flow: Flow, ctx: StepContext, planned: runs.PlannedStep) -> None:
        if planned.agent:
            await flow.run_agent_step(ctx, planned)
            return
        owner = self._owner(flow, ctx, planned)
        steps.get(owner, planned.step)
        await getattr(owner, planned.step)(ctx)

    def _owner(self, flow: Flow, ctx: StepContext, planned: runs.PlannedStep) -> Any:
        return flow if planned.interface == "flow" else ctx.interface(planned.interface)

    async def _undo(self, flow: Flow, ctx: StepContext, journal: RunJournal, position: runs.Position) -> bool:
        """Undo, last step first; whether it is through (False: an undo waits and the run is parked)."""
        for index in position.to_undo:
            planned = journal.plan[index]
            ctx.index, ctx.args = index, planned.args
            try:
                undo = self._find_undo(flow, ctx, planned)
                if undo is None:
                    continue
                if not any((each.step, each.mark) == (index, runs.Mark.UNDO_STARTED) for each in journal.entries):
                    await journal.mark(index, runs.Mark.UNDO_STARTED)
                await self._in_time(ctx, undo(ctx), _UNDO_LIMIT)
            except waits.Parked as parked:
                await journal.park(parked.wait, parked.wake_at)
                return False
            except _TO_THE_TOP:
                raise
            except Exception as error:
                await journal.mark(index, runs.Mark.UNDO_FAILED, _sentence(error))
            else:
                await journal.mark(index, runs.Mark.UNDO_FINISHED)
        return True

    def _find_undo(
        self, flow: Flow, ctx: StepContext, planned: runs.PlannedStep
    ) -> Callable[[StepContext], Awaitable[None]] | None:
        if planned.agent:
            return None
        owner = self._owner(flow, ctx, planned)
        info = steps.find(owner, planned.step)
        return None if info is None or info.undo is None else getattr(owner, info.undo)

    async def _fail(self, flow: Flow, ctx: StepContext, journal: RunJournal, reason: str | None) -> None:
        await ctx.refresh()
        aborted, _ = await self._deps.store.read(run_store.get_abort, ctx.run.id)
        event, columns = flow.failure(ctx.node, aborted)
        if aborted and states.find_next(ctx.node.provision_state, states.Event.ABORT):
            event = states.Event.ABORT
        status = runs.Status.ABORTED if aborted else runs.Status.FAILED
        await journal.finish(status, event, reason, **columns)


def _read(
    connection: Connection, lease: run_store.Lease
) -> tuple[runs.Run, node.Node, list[node.Port], str | None, str | None, list[runs.Entry]]:
    sealed, token = nodes.get_secrets(connection, lease.node_uuid)
    return (
        run_store.get(connection, lease.run_id),
        nodes.get(connection, lease.node_uuid),
        ports.list_of_node(connection, lease.node_uuid),
        sealed,
        token,
        run_store.journal(connection, lease.run_id),
    )


def _read_run(connection: Connection, lease: run_store.Lease) -> tuple[runs.Run, node.Node, list[runs.Entry]]:
    run_store.check(connection, lease)
    run = run_store.get(connection, lease.run_id)
    return run, nodes.get(connection, lease.node_uuid), run_store.journal(connection, lease.run_id)


def _too_long(run: runs.Run) -> errors.TimedOut:
    return errors.TimedOut(
        f"The {run.kind} did not end within {run.deadline - run.started_at:.0f} s",
        hint="Look at the history of the node for the step that took long.",
    )


def _sentence(error: Exception) -> str:
    """What people read of an error: our own speak for themselves, strangers are bugs with their type named."""
    if isinstance(error, errors.IngotError):
        return error.sentence()
    return errors.Bug(f"ingot met an unforeseen {type(error).__name__}").sentence()
