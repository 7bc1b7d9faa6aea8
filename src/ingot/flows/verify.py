"""Verify: prove that a newly managed node's BMC answers (enroll -> manageable)."""

from __future__ import annotations

from ingot.domain import errors, node, runs, spelling, states
from ingot.flows import agent_steps, flow, readings
from ingot.interfaces import steps
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step


class Verify:
    """The verify flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """Read the power state, then what management verifies, then the settings."""
        of_management = steps.planned(ctx.management, "management", "verify")
        return [runs.PlannedStep("flow", "read_power"), *of_management, runs.PlannedStep("flow", "read_settings")]

    @step()
    async def read_power(self, ctx: StepContext) -> None:
        """Log in to the BMC and store the power state. A failure tells of misspelt keys of driver_info, too."""
        try:
            await ctx.power.validate(ctx)
            await ctx.management.validate(ctx)
            seen = await ctx.power.get(ctx)
        except errors.IngotError as error:
            known = [field.name for field in ctx.registry.driver(ctx.node.driver).driver_info]
            slips = spelling.slips(ctx.node.driver, ctx.driver_info, known)
            error.hint = f"{slips} {error.hint}" if slips else error.hint
            raise
        await ctx.journal.change_node(power_state=seen.value)

    @step()
    async def read_settings(self, ctx: StepContext) -> None:
        """Store boot mode, firmware settings and versions where the hardware tells them."""
        await readings.refresh(ctx)

    def success(self, ctx: StepContext) -> flow.Ending:
        """Manageable."""
        return (states.Event.DONE,), {}

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Back to enroll."""
        return (states.Event.FAIL,), {}

    run_agent_step = staticmethod(agent_steps.refuse)
