"""Tear down: take a node back from its tenant, then clean it (active -> deleting -> cleaning -> available)."""

from __future__ import annotations

from ingot.domain import node, runs, states
from ingot.flows import clean, flow
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step


class TearDown(clean.Clean):
    """The tear-down flow: its own steps first, then those of automated cleaning."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """Take back, forget the tenant, clean."""
        own = [runs.PlannedStep("flow", "take_back"), runs.PlannedStep("flow", "forget_tenant")]
        return [*own, *await super().plan(ctx)]

    @step()
    async def take_back(self, ctx: StepContext) -> None:
        """Machine off and off its tenant's networks."""
        await ctx.deploy.tear_down(ctx)

    @step()
    async def forget_tenant(self, ctx: StepContext) -> None:
        """Clear what belonged to the instance; the node is now being cleaned."""
        await ctx.journal.forget_instance()
        await ctx.journal.enter(states.Event.CLEAN)

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Error while taking back, clean failed while cleaning."""
        if found.provision_state == states.State.DELETING:
            return (states.Event.FAIL,), {}
        return super().failure(found, how)
