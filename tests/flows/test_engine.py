"""The loop itself, driven by small definitions made here: waits in turn, undo that waits, abort, resume rules."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from flows import stand
from ingot.conductor.claims import Claims
from ingot.deps import Deps
from ingot.domain import errors, ids, node, runs
from ingot.flows import agent_steps
from ingot.flows.flow import Ending, Failure
from ingot.flows.run import Runner
from ingot.interfaces.context import StepContext, WaitFor
from ingot.interfaces.steps import step
from ingot.store import claims as claim_store
from ingot.store import journals
from ingot.store import runs as run_store


class Probe:
    """A definition whose steps do what the test says; it remembers what was called."""

    run_agent_step = staticmethod(agent_steps.refuse)

    def __init__(self, *names: str, abortable: bool = True) -> None:
        self.names = names or ("first", "second")
        self.abortable = abortable
        self.called: list[str] = []
        self.acts: dict[str, Callable[[StepContext], Awaitable[None]]] = {}

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        await self._note("plan", ctx)
        return [runs.PlannedStep("flow", name, abortable=self.abortable) for name in self.names]

    async def _note(self, name: str, ctx: StepContext) -> None:
        self.called.append(name)
        if name in self.acts:
            await self.acts[name](ctx)

    @step(undo="undo_first")
    async def first(self, ctx: StepContext) -> None:
        await self._note("first", ctx)

    async def undo_first(self, ctx: StepContext) -> None:
        await self._note("undo_first", ctx)

    @step(undo="undo_second")
    async def second(self, ctx: StepContext) -> None:
        await self._note("second", ctx)

    async def undo_second(self, ctx: StepContext) -> None:
        await self._note("undo_second", ctx)

    @step(resume=runs.Resume.FAIL)
    async def once_only(self, ctx: StepContext) -> None:
        await self._note("once_only", ctx)

    @step(resume=runs.Resume.CHECK, probe="is_done")
    async def checked(self, ctx: StepContext) -> None:
        await self._note("checked", ctx)

    async def is_done(self, ctx: StepContext) -> bool:
        await self._note("is_done", ctx)
        return True

    def success(self, ctx: StepContext) -> Ending:
        return (), {}

    def failure(self, found: node.Node, how: Failure) -> Ending:
        return (), {}


async def open_run(deps: Deps, deadline: float = 60.0, **fields: Any) -> str:
    """A node with an open run of the kind that the probe runs; the node's uuid."""
    uuid = await stand.add_node(deps, **fields)
    now = deps.clock()
    run = runs.Run(
        id=ids.new(), node_uuid=uuid, kind=runs.Kind.POWER, wake_at=now, started_at=now, deadline=now + deadline
    )
    await deps.store.run(run_store.open_run, run)
    deps.bus.ring(uuid)
    return uuid


@contextlib.asynccontextmanager
async def claiming(deps: Deps, flow: Probe) -> AsyncIterator[asyncio.Task[None]]:
    """A claim loop that runs ``flow``; must still be alive at the end."""
    task = asyncio.create_task(Claims(deps, Runner(deps, stand.kit(deps), {runs.Kind.POWER: flow}), "host/1").run())
    try:
        yield task
        assert not task.done(), "the claim loop died"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def waits(
    what: str, over: Callable[[], bool], timeout: float = 30.0, poll: float = 0.02
) -> Callable[[StepContext], Awaitable[None]]:
    async def act(ctx: StepContext) -> None:
        async def condition() -> bool:
            return over()

        await ctx.wait.until(condition, WaitFor(what, timeout, poll=poll))

    return act


def fails(text: str = "broken") -> Callable[[StepContext], Awaitable[None]]:
    async def act(ctx: StepContext) -> None:
        raise errors.Misbehaved(text, hint="")

    return act


async def test_the_second_wait_of_a_step_keeps_its_deadline(tmp_path: Path) -> None:
    """The first wait's condition stays true; it must not restart the clock of the second."""
    flow = Probe("first")

    async def act(ctx: StepContext) -> None:
        await waits("one", lambda: True)(ctx)
        await waits("two", lambda: False, timeout=0.4)(ctx)

    flow.acts["first"] = act
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        run = await stand.ended(deps, await open_run(deps), 5)
    assert "for two" in (run.reason or "")
    assert flow.called.count("first") > 2


async def test_a_wait_whose_words_change_is_over_when_the_step_ends(tmp_path: Path) -> None:
    flow = Probe("first", "second")
    looks = iter(range(100))

    async def act(ctx: StepContext) -> None:
        number = next(looks)
        await waits(f"look {number}", lambda: number > 2)(ctx)

    flow.acts["first"] = act
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        run = await stand.ended(deps, await open_run(deps))
    assert (run.status, run.wait) == (runs.Status.SUCCEEDED, None)


async def test_an_undo_may_wait(tmp_path: Path) -> None:
    flow = Probe()
    flow.acts["second"] = fails()
    flow.acts["undo_second"] = waits("the undo", lambda: flow.called.count("undo_second") > 2)
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        uuid = await open_run(deps)
        assert (await stand.ended(deps, uuid)).status == runs.Status.FAILED
        journal = await stand.journal(deps, uuid)
    assert flow.called[-2:] == ["undo_second", "undo_first"]
    assert journal[-4:] == [(1, "undo_started"), (1, "undo_finished"), (0, "undo_started"), (0, "undo_finished")]


async def test_a_plan_that_waits_fails_its_run_and_nothing_else(tmp_path: Path) -> None:
    flow = Probe()
    flow.acts["plan"] = waits("a plan", lambda: False)
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        run = await stand.ended(deps, await open_run(deps))
    assert "tried to wait for a plan" in (run.reason or "")


async def test_undo_goes_backwards_and_survives_its_own_failures(tmp_path: Path) -> None:
    flow = Probe()
    flow.acts.update(second=fails(), undo_second=fails("undo broken"))
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        uuid = await open_run(deps)
        run = await stand.ended(deps, uuid)
        journal = await stand.journal(deps, uuid)
    assert flow.called == ["plan", "first", "second", "undo_second", "undo_first"]
    assert journal[-4:] == [(1, "undo_started"), (1, "undo_failed"), (0, "undo_started"), (0, "undo_finished")]
    assert run.reason == "flow.second: broken."


async def test_who_asked_for_the_abort_is_not_overwritten_by_the_wait(tmp_path: Path) -> None:
    """The abort comes while the run is held, right before it is parked."""
    flow = Probe("first", "second")
    async with stand.site(tmp_path) as deps:
        uuid = await open_run(deps)

        async def act(ctx: StepContext) -> None:
            await deps.store.run(run_store.request_abort, uuid, "Aborted by ada", deps.clock())
            await waits("something", lambda: False)(ctx)

        flow.acts["first"] = act
        async with claiming(deps, flow):
            run = await stand.ended(deps, uuid)
    assert run.status == runs.Status.ABORTED
    assert "Aborted by ada" in (run.reason or "")


async def test_a_step_that_must_not_be_aborted_is_finished_first(tmp_path: Path) -> None:
    flow = Probe("first", "second", abortable=False)
    over: list[bool] = []
    flow.acts["first"] = waits("firmware", lambda: bool(over))
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        uuid = await open_run(deps)
        await stand.parked(deps, uuid)
        await deps.store.run(run_store.request_abort, uuid, "Aborted by ada", deps.clock())
        looks = flow.called.count("first")
        await stand.until(lambda: flow.called.count("first") > looks + 1)
        over.append(True)
        run = await stand.ended(deps, uuid)
        journal = await stand.journal(deps, uuid)
    assert run.status == runs.Status.ABORTED
    assert (0, "succeeded") in journal
    assert "second" not in flow.called


async def test_a_wake_while_the_run_is_held_is_not_lost(tmp_path: Path) -> None:
    """A heartbeat between the look and the parking makes the run due at once, not at the next poll."""
    flow = Probe("first")
    async with stand.site(tmp_path) as deps:
        uuid = await open_run(deps)
        came: list[bool] = []

        async def act(ctx: StepContext) -> None:
            async def condition() -> bool:
                seen = bool(came)
                if not came:  # right after the look and before the parking
                    came.append(True)
                    await deps.store.run(run_store.wake, uuid, deps.clock())
                return seen

            await ctx.wait.until(condition, WaitFor("the call", 3600, poll=3600))

        flow.acts["first"] = act
        async with claiming(deps, flow):
            assert (await stand.ended(deps, uuid, 3)).status == runs.Status.SUCCEEDED


@pytest.mark.parametrize(
    ("name", "status", "called"),
    [
        ("first", runs.Status.SUCCEEDED, ["first"]),
        ("checked", runs.Status.SUCCEEDED, ["is_done"]),
        ("once_only", runs.Status.FAILED, []),
    ],
)
async def test_a_cut_step_follows_its_resume_rule(
    tmp_path: Path, name: str, status: runs.Status, called: list[str]
) -> None:
    flow = Probe(name)
    async with stand.site(tmp_path) as deps:
        uuid = await open_run(deps)
        [lease] = await deps.store.run(claim_store.claim, "dead/1", deps.clock(), -1.0, 10)
        await deps.store.run(run_store.change, lease, plan=[runs.PlannedStep("flow", name)])
        await deps.store.run(journals.append, lease, runs.Entry(1, 0, runs.Mark.STARTED, 0.0))
        async with claiming(deps, flow):
            run = await stand.ended(deps, uuid)
    assert (run.status, flow.called) == (status, called)
    if status == runs.Status.FAILED:
        assert "stopped in the middle of flow.once_only, which must not run twice" in (run.reason or "")


async def test_steps_put_in_twice_stand_there_once(tmp_path: Path) -> None:
    flow = Probe("first")
    more = [runs.PlannedStep("flow", "second"), runs.PlannedStep("flow", "checked")]

    async def act(ctx: StepContext) -> None:
        await ctx.journal.insert_steps(more)
        await ctx.journal.insert_steps(more)

    flow.acts["first"] = act
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        run = await stand.ended(deps, await open_run(deps))
    assert run.plan == [runs.PlannedStep("flow", "first"), *more]
    assert flow.called == ["plan", "first", "second", "checked"]


async def test_a_step_may_not_touch_the_provision_state(tmp_path: Path) -> None:
    flow = Probe("first")

    async def act(ctx: StepContext) -> None:
        await ctx.journal.change_node(provision_state="active")

    flow.acts["first"] = act
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        run = await stand.ended(deps, await open_run(deps))
    assert "only a flow's events may" in (run.reason or "")


async def test_a_kind_that_no_definition_runs_is_given_up(tmp_path: Path) -> None:
    """Nothing can be run, so nothing may be held for ever either: the run is released again and again, never stuck."""
    async with stand.site(tmp_path) as deps:
        uuid = await open_run(deps)
        runner = Runner(deps, stand.kit(deps), {})
        [lease] = await deps.store.run(claim_store.claim, "host/1", deps.clock(), 15.0, 10)
        await runner.run(lease)
        run = await deps.store.read(run_store.find_open, uuid)
        assert run is not None
        assert run.owner is None


async def test_a_deleted_node_ends_the_work_on_it_silently(tmp_path: Path) -> None:
    from ingot.store import nodes

    flow = Probe("first", "second")
    async with stand.site(tmp_path) as deps:
        uuid = await open_run(deps)

        async def act(ctx: StepContext) -> None:
            await deps.store.run(nodes.destroy, uuid)

        flow.acts["first"] = act
        async with claiming(deps, flow) as task:
            await stand.until(lambda: "first" in flow.called)
            other = await open_run(deps)
            flow.acts.clear()
            assert (await stand.ended(deps, other)).status == runs.Status.SUCCEEDED
            assert not task.done()


def _steal(connection: Connection, now: float) -> None:
    """In one unit: between two its owner would take the run up again."""
    claim_store.release_all(connection, "host/1")
    claim_store.claim(connection, "other/1", now, 3600.0, 10)


async def test_a_stolen_lease_ends_the_work_of_its_old_owner(tmp_path: Path) -> None:
    flow = Probe("first")
    ended: list[str] = []

    async def act(ctx: StepContext) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    flow.acts["first"] = act
    async with stand.site(tmp_path, lease=0.3) as deps:
        uuid = await open_run(deps)
        async with claiming(deps, flow):
            await stand.until(lambda: "first" in flow.called)
            await deps.store.run(_steal, deps.clock())
            await stand.until(lambda: ended)
        run = await deps.store.read(run_store.find_open, uuid)
        assert run is not None
        assert run.owner == "other/1"


async def test_a_wait_that_looks_seldom_ends_at_the_runs_deadline_all_the_same(tmp_path: Path) -> None:
    flow = Probe("first")
    flow.acts["first"] = waits("what never comes", lambda: False, 1e6, poll=3600.0)
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        run = await stand.ended(deps, await open_run(deps, 1.0), 20)
    assert "did not end within" in (run.reason or "")


async def test_the_time_of_a_hold_is_not_given_to_the_steps_behind_it(tmp_path: Path) -> None:
    """They share its lease, and one of them hangs: it is ended when the run's own time is over."""
    flow = Probe("first", "second")
    passed: list[float] = []

    async def hold(ctx: StepContext) -> None:
        async def released() -> bool:
            return bool(passed)

        await ctx.wait.until(released, WaitFor("a release", 1e6, poll=3600.0, held=True))

    async def hang(ctx: StepContext) -> None:
        await asyncio.Event().wait()

    flow.acts.update(first=hold, second=hang)
    async with stand.site(tmp_path) as deps:
        later = stand.with_clock(deps, lambda: deps.clock() + sum(passed))
        async with claiming(later, flow):
            uuid = await open_run(later, 5.0)
            await stand.parked(later, uuid)
            passed.append(36_000.0)
            assert await deps.store.run(run_store.release_hold, uuid, later.clock())
            deps.bus.ring(uuid)
            run = await stand.ended(later, uuid, 30)
    assert "did not end within" in (run.reason or "")
    assert "second" in flow.called
