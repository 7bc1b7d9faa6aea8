"""What cleaning and service share: steps a user asked for, run by the conductor or, in the ramdisk, by its agent.

The ramdisk is booted only if a step of the plan needs its agent. May not: know where a run leads.
"""

from __future__ import annotations

from typing import Any

from ingot.domain import errors, runs
from ingot.flows import agent_steps, plan, ramdisk_logs
from ingot.interfaces import agent
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step

START = runs.PlannedStep("flow", "start_ramdisk")
COLLECT = runs.PlannedStep("flow", "add_agent_steps")
STOP = runs.PlannedStep("flow", "stop_ramdisk")


class RamdiskFlow:
    """``word``: the kind of its steps, "clean" or "service"."""

    word = ""

    @step(undo="end_ramdisk")
    async def start_ramdisk(self, ctx: StepContext) -> None:
        """Boot the ramdisk, or go on with the one that runs."""
        await ctx.deploy.start_ramdisk(ctx)

    @step()
    async def add_agent_steps(self, ctx: StepContext) -> None:
        """Ask the agent what it can do and put what is to be done into the plan."""
        found = await agent_steps.collect(ctx, self.word)
        asked = self.requested(ctx)
        planned = self.automated(ctx, found) if asked is None else agent_steps.requested(asked, found)
        await ctx.journal.insert_steps(planned)

    @step()
    async def stop_ramdisk(self, ctx: StepContext) -> None:
        """End the ramdisk as the flow needs it ended."""
        await ramdisk_logs.keep(ctx, failed=False)
        await self.end_ramdisk(ctx)

    async def end_ramdisk(self, ctx: StepContext) -> None:
        """Machine off whatever it does: a step that was aborted must not go on."""
        await ctx.deploy.stop_ramdisk(ctx)

    async def run_agent_step(self, ctx: StepContext, planned: runs.PlannedStep) -> None:
        """Have the agent do it; where a step before it rebooted the machine, the ramdisk is booted anew first."""

        async def is_gone() -> bool:
            return ctx.agent_token is None

        if await ctx.once("ramdisk gone", is_gone):
            await ctx.deploy.start_ramdisk(ctx)
        await agent.run_step(ctx, self.word, planned)

    def requested(self, ctx: StepContext) -> list[runs.PlannedStep] | None:
        """The steps of the request as plan entries; None where the verb asks for automated ones."""
        if ctx.params.get("verb") != self.word:
            return None
        wanted: list[dict[str, Any]] = ctx.params.get(f"{self.word}_steps") or []
        return [one for each in wanted for one in plan.asked(ctx, each, self.word)]

    def automated(self, ctx: StepContext, found: list[dict[str, Any]]) -> list[runs.PlannedStep]:
        """Which of the agent's steps ``found`` run unasked."""
        return []

    def around(self, ctx: StepContext, asked: list[runs.PlannedStep]) -> list[runs.PlannedStep]:
        """A plan for the steps of a request: with the ramdisk around them if one of them is the agent's."""
        of_agent = [one.title() for one in asked if one.agent]
        if not of_agent:
            return asked
        if ctx.params.get("disable_ramdisk"):
            raise errors.Invalid(
                f"{', '.join(of_agent)} runs in the ramdisk, and the request disables it",
                hint="Leave out disable_ramdisk, or these steps.",
            )
        return [START, COLLECT, STOP]
