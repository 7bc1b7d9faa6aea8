"""Adopt: take over a machine that somebody else deployed (manageable -> active). Nothing is written to it."""

from __future__ import annotations

from ingot.domain import node, runs, states
from ingot.flows import agent_steps, flow
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step


class Adopt:
    """The adopt flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """Check, then take over."""
        return [runs.PlannedStep("flow", "check"), runs.PlannedStep("flow", "take_over")]

    @step()
    async def check(self, ctx: StepContext) -> None:
        """Refuse at once what could later not be rebuilt or torn down."""
        for kind in ("power", "management", "boot", "network"):
            await ctx.interface(kind).validate(ctx)
        await ctx.deploy.validate_adoption(ctx)

    @step()
    async def take_over(self, ctx: StepContext) -> None:
        """Note what the deploy interface has to know of a machine that runs its own system."""
        await ctx.deploy.take_over(ctx)

    def success(self, ctx: StepContext) -> flow.Ending:
        """Active."""
        return (states.Event.DONE,), {}

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Adopt failed."""
        return (states.Event.FAIL,), {}

    run_agent_step = staticmethod(agent_steps.refuse)
