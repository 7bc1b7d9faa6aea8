"""Order: one small change to a machine, asked for by itself; the provision state does not change.

The order's word is the name of the step here. May not: ask twice for what a machine has already.
"""

from __future__ import annotations

from ingot.domain import errors, node, orders, runs
from ingot.flows import agent_steps, flow, plan
from ingot.interfaces.context import StepContext
from ingot.interfaces.management import BootDevice
from ingot.interfaces.steps import step


class Order:
    """The order flow."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """The one step that was ordered."""
        if ctx.params["order"] == orders.Order.STEP:
            return [_of_interface(ctx)]
        return [runs.PlannedStep("flow", ctx.params["order"])]

    @step()
    async def set_boot_mode(self, ctx: StepContext) -> None:
        """Bring the machine to the boot mode ``target`` and record it."""
        target = ctx.params["target"]
        if await ctx.management.get_boot_mode(ctx) != target:
            allowed = ctx.management.boot_modes
            if allowed and target not in allowed:
                raise errors.NotSupported(
                    f"Failed to change boot mode to '{target}'", hint=f"This machine has: {', '.join(allowed)}."
                )
            await ctx.management.set_boot_mode(ctx, target)
        await ctx.journal.change_node(boot_mode=target)

    @step()
    async def set_secure_boot(self, ctx: StepContext) -> None:
        """Switch secure boot to ``target`` and record it."""
        target = bool(ctx.params["target"])
        if await ctx.management.get_secure_boot(ctx) != target:
            await ctx.management.set_secure_boot(ctx, on=target)
        await ctx.journal.change_node(secure_boot=target)

    @step()
    async def attach_media(self, ctx: StepContext) -> None:
        """Put an image into a virtual drive."""
        await ctx.management.attach_media(ctx, BootDevice(ctx.params["device"]), ctx.params["image_url"])

    @step()
    async def detach_media(self, ctx: StepContext) -> None:
        """Empty virtual drives."""
        await ctx.management.detach_media(ctx, tuple(BootDevice(name) for name in ctx.params["devices"]))

    @step(resume=runs.Resume.FAIL)
    async def call_vendor(self, ctx: StepContext) -> None:
        """Call a vendor method; nobody knows what doing it twice would mean."""
        await ctx.interface("vendor").call(ctx, ctx.params["method"], ctx.params["body"])

    def success(self, ctx: StepContext) -> flow.Ending:
        """No state event."""
        return (), {}

    def failure(self, found: node.Node, how: flow.Failure) -> flow.Ending:
        """No state event."""
        return (), {}

    run_agent_step = staticmethod(agent_steps.refuse)


def _of_interface(ctx: StepContext) -> runs.PlannedStep:
    """The step that a parent's run asks for. Raises errors.NotSupported for one that needs more than a conductor."""
    found = plan.requested(ctx, ctx.params, ctx.params["word"])
    if found.step == "hold":
        raise errors.NotSupported("The step hold cannot be done by a child", hint="Hold the parent.")
    if found.agent:
        raise errors.NotSupported(
            f"{found.title()} is no step of this node's interfaces, and a child's ramdisk is not booted for its parent",
            hint="Send the step to the child itself.",
        )
    return found
