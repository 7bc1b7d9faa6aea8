"""Rescue: a ramdisk with a login in place of the instance (active -> rescue), and the way back."""

from __future__ import annotations

from typing import Any

from ingot.domain import node, runs, states
from ingot.flows import agent_steps, flow
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step

_AGENT = ("agent_url", "agent_heartbeat_at", "agent_verify_ca", "agent_token")
AGENT_GONE: dict[str, Any] = dict.fromkeys(_AGENT)
"""Columns that end the right to speak of an agent that is done."""
_ABORT_FAILED = "The rescue was aborted, and the machine could not be brought back: see last_error."


class Rescue:
    """The rescue flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """Check, then the interface's own step."""
        return [runs.PlannedStep("flow", "check"), runs.PlannedStep("rescue", "rescue")]

    @step()
    async def check(self, ctx: StepContext) -> None:
        """Refuse at once what cannot work."""
        for kind in ("power", "management", "boot", "network", "rescue"):
            await ctx.interface(kind).validate(ctx)

    def success(self, ctx: StepContext) -> flow.Ending:
        """Rescue; the agent has let go of the machine."""
        return (states.Event.DONE,), AGENT_GONE

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Rescue failed; an abort that could not be carried out is a fault."""
        columns: dict[str, Any] = dict(AGENT_GONE)
        if how.aborted and not how.undone:
            columns |= {"maintenance": True, "maintenance_reason": _ABORT_FAILED, "fault": "rescue abort failure"}
        return (states.Event.FAIL,), columns

    run_agent_step = staticmethod(agent_steps.refuse)


class Unrescue:
    """The unrescue flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """The interface's own step."""
        return [runs.PlannedStep("rescue", "unrescue")]

    def success(self, ctx: StepContext) -> flow.Ending:
        """Active."""
        return (states.Event.DONE,), {}

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Unrescue failed."""
        return (states.Event.FAIL,), {}

    run_agent_step = staticmethod(agent_steps.refuse)
