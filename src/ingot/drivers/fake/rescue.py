"""Rescuing an imaginary machine. Invariant: the password is checked to be there, and kept nowhere."""

from __future__ import annotations

from ingot.domain import errors, power
from ingot.drivers.fake import acts
from ingot.interfaces.context import StepContext
from ingot.interfaces.hardware import RescueInterface
from ingot.interfaces.steps import step


class FakeRescue(RescueInterface):
    """The imaginary rescue ramdisk runs at once, or after ``fake_wait``."""

    @step(undo="end")
    async def rescue(self, ctx: StepContext) -> None:
        """Remember that the rescue ramdisk runs."""
        if not str(ctx.params.get("rescue_password") or "").strip():
            raise errors.Invalid("The request has no rescue_password")

        async def boot() -> bool:
            await acts.act(ctx, "rescue.rescue", "rescue ramdisk on")
            await _switch_on(ctx)
            return True

        await ctx.once("rescue ramdisk", boot)
        await acts.wait(ctx)

    async def end(self, ctx: StepContext) -> None:
        """The imaginary machine goes off."""
        await ctx.deploy.stop_ramdisk(ctx)

    @step()
    async def unrescue(self, ctx: StepContext) -> None:
        """Remember that the machine's own system runs again."""
        await acts.act(ctx, "rescue.unrescue", "rescue ramdisk off")
        await _switch_on(ctx)


async def _switch_on(ctx: StepContext) -> None:
    await ctx.power.set(ctx, power.Target.REBOOT, ctx.kit.settings.power_timeout)
    await ctx.journal.change_node(power_state=power.Power.ON.value)
