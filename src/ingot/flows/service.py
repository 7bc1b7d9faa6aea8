"""Service: run steps on a node whose instance stays (active -> active), the ramdisk in its place meanwhile."""

from __future__ import annotations

from ingot.domain import node, runs, states
from ingot.flows import flow
from ingot.flows.ramdisk_flow import COLLECT, START, STOP, RamdiskFlow
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step


class Service(RamdiskFlow):
    """The service flow. Its verb "abort" is the way out of a failed one: back to the instance."""

    word = "service"

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """The steps of the request, in order; only the instance's boot when a failed service is given up."""
        asked = self.requested(ctx)
        if asked is None:
            return [STOP]
        # A held service that this one replaces may have left its ramdisk running.
        return [START, COLLECT, STOP] if ctx.node.agent_url else self.around(ctx, asked)

    @step(undo="end_ramdisk")
    async def start_ramdisk(self, ctx: StepContext) -> None:
        """Off the tenant's networks, then boot the ramdisk."""
        await ctx.network.remove_tenant(ctx)
        await ctx.deploy.start_ramdisk(ctx)

    async def end_ramdisk(self, ctx: StepContext) -> None:
        """The instance runs again, whatever the ramdisk did."""
        await ctx.deploy.start_instance(ctx)

    def success(self, ctx: StepContext) -> flow.Ending:
        """Active."""
        return (states.Event.DONE,), {}

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Service failed and maintenance; back to active when somebody aborted and the instance runs again."""
        if how.aborted and how.undone:
            return (states.Event.FAIL, states.Event.ABORT), {}
        reason = "Service failed: see last_error."
        return (states.Event.FAIL,), {"maintenance": True, "maintenance_reason": reason, "fault": "service failure"}
