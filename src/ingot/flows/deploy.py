"""Deploy: put an operating system on a node and start it (available -> active).

The steps are those the node's deploy interface declares, by priority, with the steps of the request among them, and
those of the ramdisk's agent that have a priority.
"""

from __future__ import annotations

from typing import Any

from ingot.domain import node, runs, states
from ingot.flows import agent_steps, flow, plan, rescue
from ingot.flows.ramdisk_flow import COLLECT
from ingot.interfaces import agent
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step

CHECK = runs.PlannedStep("flow", "check")


class Deploy:
    """The deploy flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """Check the node, then the interface's steps and the requested ones, highest priority first."""
        planned = plan.deployment(ctx, ctx.params.get("deploy_steps") or [])
        first = next((at for at, one in enumerate(planned, 1) if one.title() == f"deploy.{ctx.deploy.agent_after}"), 0)
        return [CHECK, *planned[:first], *([COLLECT] if first else []), *planned[first:]]

    @step()
    async def check(self, ctx: StepContext) -> None:
        """Refuse at once what cannot work: missing image, missing credentials, no network boot."""
        for kind in ("power", "management", "boot", "network", "deploy"):
            await ctx.interface(kind).validate(ctx)

    @step()
    async def add_agent_steps(self, ctx: StepContext) -> None:
        """Put the agent's steps that run unasked among those to come; refuse requested ones that nobody has."""
        wanted: list[dict[str, Any]] = ctx.params.get("deploy_steps") or []
        found = await agent_steps.collect(ctx, "deploy")
        asked = [plan.requested(ctx, each, "deploy") for each in wanted]
        agent_steps.requested([one for one in asked if one.priority > 0], found)
        named = {one.title() for one in asked}
        unasked = [one for one in agent_steps.automated(found, {}) if one.title() not in named]
        await ctx.journal.merge_steps(unasked)

    async def run_agent_step(self, ctx: StepContext, planned: runs.PlannedStep) -> None:
        """Have the agent deploy."""
        await agent.run_step(ctx, "deploy", planned)

    def success(self, ctx: StepContext) -> flow.Ending:
        """Active; the ramdisk is gone, so is its right to speak."""
        return (states.Event.DONE,), rescue.AGENT_GONE

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Deploy failed."""
        return (states.Event.FAIL,), {}
