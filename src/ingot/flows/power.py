"""Power: switch a machine on, off or over; the provision state does not change."""

from __future__ import annotations

from ingot.domain import node, power, runs
from ingot.flows import agent_steps, flow
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step


class Power:
    """The power flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """One step."""
        return [runs.PlannedStep("flow", "change")]

    @step(probe="changed", resume=runs.Resume.CHECK)
    async def change(self, ctx: StepContext) -> None:
        """Do what was asked and store the power state that follows."""
        target = power.Target(ctx.params["target"])
        await ctx.power.set(ctx, target, ctx.params.get("timeout") or ctx.kit.settings.power_timeout)
        await ctx.journal.change_node(power_state=target.result().value)

    async def changed(self, ctx: StepContext) -> bool:
        """Whether the machine is as asked; a reboot cannot be seen afterwards, so it is done again."""
        target = power.Target(ctx.params["target"])
        if target in {power.Target.REBOOT, power.Target.SOFT_REBOOT}:
            return False
        seen = await ctx.power.get(ctx)
        await ctx.journal.change_node(power_state=seen.value)
        return seen == target.result()

    def success(self, ctx: StepContext) -> flow.Ending:
        """No state event."""
        return (), {"target_power_state": None}

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """No state event."""
        return (), {"target_power_state": None}

    run_agent_step = staticmethod(agent_steps.refuse)
