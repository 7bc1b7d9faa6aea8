"""A step that a node's children do: each in a run of its own, with its lock, journal and conductor; the parent waits.

What Ironic calls ``execute_on_child_nodes``. May not: touch the child itself.
"""

from __future__ import annotations

from ingot.domain import errors, ids, orders, runs
from ingot.interfaces.context import StepContext, WaitFor

_GRACE = 60.0
"""Seconds beyond the child's own limit: its run may have to wait to be claimed."""


async def run(ctx: StepContext, planned: runs.PlannedStep, child: str) -> None:
    """Have ``child`` do it and wait for the end. Raises errors.Locked where it is busy, Misbehaved where it fails."""

    async def new() -> str:
        return ids.new()

    run_id = await ctx.once("child's run", new)  # chosen before it is asked for, so that it is asked for once
    await ctx.journal.order_step(child, run_id, planned)

    async def ended() -> bool:
        found = await ctx.journal.find_run(run_id)
        if found.status in {runs.Status.FAILED, runs.Status.ABORTED}:
            raise errors.Misbehaved(f"Node {child}: {found.reason}", hint="Repair that node first.")
        return found.status == runs.Status.SUCCEEDED

    await ctx.wait.until(ended, WaitFor(f"the child {child}", orders.DEADLINE + _GRACE, poll=0.5))
