"""Verify: prove that a newly managed node's BMC answers (enroll -> manageable)."""

from __future__ import annotations

from ingot.domain import node, runs, states
from ingot.flows import agent_steps, flow
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step


class Verify:
    """The verify flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """Read the power state, then the boot mode."""
        return [runs.PlannedStep("flow", "read_power"), runs.PlannedStep("flow", "read_boot_mode")]

    @step()
    async def read_power(self, ctx: StepContext) -> None:
        """Log in to the BMC and store the power state."""
        await ctx.power.validate(ctx)
        await ctx.management.validate(ctx)
        seen = await ctx.power.get(ctx)
        await ctx.journal.change_node(power_state=seen.value)

    @step()
    async def read_boot_mode(self, ctx: StepContext) -> None:
        """Store the boot mode where the hardware tells it."""
        mode = await ctx.management.get_boot_mode(ctx)
        if mode is not None:
            await ctx.journal.change_node(boot_mode=mode)

    def success(self, ctx: StepContext) -> flow.Ending:
        """Manageable."""
        return (states.Event.DONE,), {}

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Back to enroll."""
        return (states.Event.FAIL,), {}

    run_agent_step = staticmethod(agent_steps.refuse)
