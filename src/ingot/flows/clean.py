"""Clean: make a node fit for the next user.

Automated (verb provide, and after a tear down): the agent's own steps with a priority, ending in available.
Manual (verb clean): the steps of the request, ending in manageable.
"""

from __future__ import annotations

from typing import Any

from ingot.domain import node, runs, states
from ingot.flows import agent_steps, flow, ramdisk_logs, readings
from ingot.flows.ramdisk_flow import COLLECT, START, STOP, RamdiskFlow
from ingot.interfaces import agent, steps
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.steps import step

_OVERRIDES = {"deploy.erase_devices": 0}
"""A full erase of every sector takes hours: only on request. Metadata is always erased."""


def wanted(ctx: Context) -> bool:
    """Whether this node is cleaned automatically; its own field beats the setting."""
    own = ctx.node.automated_clean
    return ctx.kit.settings.automated_clean if own is None else own


class Clean(RamdiskFlow):
    """The clean flow."""

    word = "clean"

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """Ramdisk up, its steps, ramdisk down; nothing where automated cleaning is off."""
        await readings.refresh_firmware(ctx)
        asked = self.requested(ctx)
        if asked is not None:
            return self.around(ctx, asked)
        if not wanted(ctx):
            return []
        return steps.planned(ctx.deploy, "deploy", "clean") or [START, COLLECT, STOP]

    @step()
    async def stop_ramdisk(self, ctx: StepContext) -> None:
        """Machine off, unless a running ramdisk is to be used again."""
        await ramdisk_logs.keep(ctx, failed=False)
        if not (ctx.kit.settings.fast_track and agent.is_alive(ctx, ctx.now())):
            await self.end_ramdisk(ctx)

    def automated(self, ctx: StepContext, found: list[dict[str, Any]]) -> list[runs.PlannedStep]:
        """Those with a priority, after the setting's overrides."""
        return agent_steps.automated(found, {**_OVERRIDES, **ctx.kit.settings.clean_step_priorities()})

    def success(self, ctx: StepContext) -> flow.Ending:
        """Available; manageable after manual cleaning or when the node is retired."""
        back = self.requested(ctx) is not None or ctx.node.retired
        return (states.Event.MANAGE if back else states.Event.DONE,), {}

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Clean failed; unless somebody aborted, the node goes into maintenance until looked at."""
        if how.aborted:
            return (states.Event.FAIL,), {}
        reason = "Cleaning failed: see last_error."
        return (states.Event.FAIL,), {"maintenance": True, "maintenance_reason": reason, "fault": "clean failure"}
