"""Inspect: find out what a node is made of and write it into its record (manageable -> manageable)."""

from __future__ import annotations

from typing import Any

from ingot.domain import hardware, node, runs, states
from ingot.flows import agent_steps, flow, readings, rules
from ingot.interfaces.context import StepContext
from ingot.interfaces.steps import step
from ingot.store import rows


class Inspect:
    """The inspect flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """The interface inspects, then what it found is applied to the node, then the inspection rules are."""
        steps = (("inspect", "inspect"), ("flow", "apply"), ("flow", "rules"))
        return [runs.PlannedStep(interface, name) for interface, name in steps]

    @step()
    async def apply(self, ctx: StepContext) -> None:
        """Fill in properties, boot mode and ports from the inventory."""
        found = await ctx.journal.find_inventory()
        inventory = found[1] if found else {}
        learned = hardware.properties(inventory)
        columns: dict[str, Any] = {"properties": {**ctx.node.properties, **learned}}
        mode = hardware.boot_mode(inventory)
        if mode is not None:
            columns["boot_mode"] = mode
        await ctx.journal.change_node(**columns)
        await ctx.journal.add_ports(hardware.ports(ctx.node.uuid, inventory))
        await readings.refresh_firmware(ctx)

    @step()
    async def rules(self, ctx: StepContext) -> None:
        """Apply the inspection rules."""
        await rules.apply(ctx)

    def success(self, ctx: StepContext) -> flow.Ending:
        """Manageable again."""
        return (states.Event.DONE,), {"inspection_finished_at": rows.now()}

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """Inspect failed."""
        return (states.Event.FAIL,), {}

    run_agent_step = staticmethod(agent_steps.refuse)
