"""Clean: make a node fit for the next user.

Automated (verb provide, and after a tear down): the agent's own steps with a priority, ending in available.
Manual (verb clean): the steps of the request, ending in manageable.
"""

from __future__ import annotations

from typing import Any

from ingot.domain import node, runs, states
from ingot.flows import agent_steps
from ingot.interfaces import agent, steps
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.steps import step

_OVERRIDES = {"deploy.erase_devices": 0}
"""A full erase of every sector takes hours: only on request. Metadata is always erased."""
START = runs.PlannedStep("flow", "start_ramdisk")
COLLECT = runs.PlannedStep("flow", "add_agent_steps")
STOP = runs.PlannedStep("flow", "stop_ramdisk")


def wanted(ctx: Context) -> bool:
    """Whether this node is cleaned automatically; its own field beats the setting."""
    own = ctx.node.automated_clean
    return ctx.kit.settings.automated_clean if own is None else own


class Clean:
    """The clean flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """Ramdisk up, its steps, ramdisk down; nothing where automated cleaning is off."""
        if self._manual(ctx) is None and not wanted(ctx):
            return []
        out_of_band = self._out_of_band(ctx)
        if out_of_band is not None:
            return out_of_band
        return [START, COLLECT, STOP]

    @step(undo="end_ramdisk")
    async def start_ramdisk(self, ctx: StepContext) -> None:
        """Boot the ramdisk, or go on with the one that runs."""
        await ctx.deploy.start_ramdisk(ctx)

    @step()
    async def add_agent_steps(self, ctx: StepContext) -> None:
        """Ask the agent what it can do and put what is to be done into the plan."""
        found = await agent_steps.collect(ctx, "clean")
        manual = self._manual(ctx)
        planned = agent_steps.automated(found, _OVERRIDES) if manual is None else agent_steps.requested(manual, found)
        await ctx.journal.insert_steps(planned)

    @step()
    async def stop_ramdisk(self, ctx: StepContext) -> None:
        """Machine off, unless a running ramdisk is to be used again."""
        if not (ctx.kit.settings.fast_track and agent.is_alive(ctx, ctx.now())):
            await ctx.deploy.stop_ramdisk(ctx)

    async def end_ramdisk(self, ctx: StepContext) -> None:
        """Machine off whatever it does: an erase that was aborted must not go on."""
        await ctx.deploy.stop_ramdisk(ctx)

    async def run_agent_step(self, ctx: StepContext, planned: runs.PlannedStep) -> None:
        """Have the agent clean."""
        await agent.run_step(ctx, "clean", planned)

    def success(self, ctx: StepContext) -> tuple[states.Event | None, dict[str, Any]]:
        """Available; manageable after manual cleaning or when the node is retired."""
        back = self._manual(ctx) is not None or ctx.node.retired
        return (states.Event.MANAGE if back else states.Event.DONE), {}

    def failure(self, found: node.Node, aborted: bool) -> tuple[states.Event | None, dict[str, Any]]:
        """Clean failed; unless somebody aborted, the node goes into maintenance until looked at."""
        if aborted:
            return states.Event.FAIL, {}
        reason = "Cleaning failed: see last_error."
        return states.Event.FAIL, {"maintenance": True, "maintenance_reason": reason, "fault": "clean failure"}

    def _manual(self, ctx: StepContext) -> list[dict[str, Any]] | None:
        """The steps of the request; None where the verb asks for automated cleaning."""
        return (ctx.params.get("clean_steps") or []) if ctx.params.get("verb") == "clean" else None

    def _out_of_band(self, ctx: StepContext) -> list[runs.PlannedStep] | None:
        """A plan of interface steps alone, where the node's interfaces declare every step that is to run."""
        manual = self._manual(ctx)
        if manual is None:
            own = steps.planned(ctx.deploy, "deploy", "clean")
            return own or None
        planned: list[runs.PlannedStep] = []
        for each in manual:
            name = ctx.node.interface(each["interface"])
            owner = ctx.interface(each["interface"]) if name and not name.startswith("no-") else None
            if owner is None or steps.find(owner, each["step"]) is None:
                return None
            planned.append(runs.PlannedStep(each["interface"], each["step"], each.get("args") or {}))
        return planned
