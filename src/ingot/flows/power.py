"""Power: switch a machine on, off or over; the provision state does not change.

A node that gets its power from its parent needs the parent on; before a parent goes off, its children do. Source of
when: Ironic's API (hard power off and power on only, no reboot).
"""

from __future__ import annotations

from ingot.domain import errors, node, power, runs
from ingot.flows import agent_steps, flow
from ingot.interfaces.context import StepContext, WaitFor
from ingot.interfaces.steps import step

_GRACE = 60.0
"""Seconds beyond a relative's own limit: its run may have to wait to be claimed."""


class Power:
    """The power flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """One step; before it the power of parent or children where that counts."""
        change = runs.PlannedStep("flow", "change")
        found = await relatives(ctx, power.Target(ctx.params["target"]))
        return [runs.PlannedStep("flow", "switch_relatives"), change] if found else [change]

    @step()
    async def switch_relatives(self, ctx: StepContext) -> None:
        """Bring the parent on, or the children off, each by a run of its own, and wait for them."""
        target, timeout = power.Target(ctx.params["target"]), _timeout(ctx)
        for relative in await relatives(ctx, target):
            await ctx.once(relative.uuid, lambda relative=relative: _ask(ctx, relative, target, timeout))

        async def there() -> bool:
            return all(_has_arrived(one, target) for one in await relatives(ctx, target))

        words = "its parent's power" if target == power.Target.ON else "its children's power"
        await ctx.wait.until(there, WaitFor(words, timeout + _GRACE, poll=0.5))

    @step(probe="changed", resume=runs.Resume.CHECK)
    async def change(self, ctx: StepContext) -> None:
        """Do what was asked and store the power state that follows."""
        target = power.Target(ctx.params["target"])
        await ctx.power.set(ctx, target, _timeout(ctx))
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
        return (), {}

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """No state event."""
        return (), {}

    run_agent_step = staticmethod(agent_steps.refuse)


def _timeout(ctx: StepContext) -> float:
    return ctx.params.get("timeout") or ctx.kit.settings.power_timeout


async def relatives(ctx: StepContext, target: power.Target) -> list[node.Node]:
    """Who has to be switched before the node is."""
    parent = ctx.node.parent_node
    if target == power.Target.ON:
        return [one for one in await ctx.journal.list_relatives() if one.uuid == parent] if parent else []
    if target == power.Target.OFF:
        return [one for one in await ctx.journal.list_relatives() if one.uuid != parent]
    return []


async def _ask(ctx: StepContext, relative: node.Node, target: power.Target, timeout: float) -> bool:
    """Ask for a relative's power unless it is there or on its way (a crash cut this after the request)."""
    wanted = target.result().value
    if wanted in {relative.target_power_state, relative.power_state}:
        return False
    if target == power.Target.OFF and relative.disable_power_off:
        raise errors.Conflict(f"Power off is disabled for node {relative.uuid}, a child of this one")
    await ctx.journal.switch_relative(relative.uuid, target, timeout)
    return True


def _has_arrived(relative: node.Node, target: power.Target) -> bool:
    """Raises errors.Misbehaved when its run has ended elsewhere."""
    if relative.target_power_state is not None:
        return False
    if relative.power_state != target.result().value:
        raise errors.Misbehaved(
            f"Node {relative.uuid} could not be brought to {target.result().value}: {relative.last_error}",
            hint="Repair that node first.",
        )
    return True
