"""Deploy: put an operating system on a node and start it (available -> active).

The steps are those the node's deploy interface declares, by priority, with the steps of the request among them.
"""

from __future__ import annotations

from ingot.domain import node, runs, states
from ingot.flows import flow, plan, rescue
from ingot.interfaces import agent
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step


class Deploy:
    """The deploy flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """Check the node, then the interface's steps and the requested ones, highest priority first."""
        return [runs.PlannedStep("flow", "check"), *plan.deployment(ctx, ctx.params.get("deploy_steps") or [])]

    @step()
    async def check(self, ctx: StepContext) -> None:
        """Refuse at once what cannot work: missing image, missing credentials, no network boot."""
        for kind in ("power", "management", "boot", "network", "deploy"):
            await ctx.interface(kind).validate(ctx)

    async def run_agent_step(self, ctx: StepContext, planned: runs.PlannedStep) -> None:
        """Have the agent deploy."""
        await agent.run_step(ctx, "deploy", planned)

    def success(self, ctx: StepContext) -> flow.Ending:
        """Active; the ramdisk is gone, so is its right to speak."""
        return (states.Event.DONE,), rescue.AGENT_GONE

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Deploy failed."""
        return (states.Event.FAIL,), {}
