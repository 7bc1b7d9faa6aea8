"""Deploying an imaginary machine: the same kinds of steps as a real one, among them one that must not run twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ingot.domain import power, runs
from ingot.drivers.fake import acts
from ingot.interfaces.context import StepContext
from ingot.interfaces.deploy import DeployInterface
from ingot.interfaces.steps import step


class FakeDeploy(DeployInterface):
    """A deployment that only remembers."""

    async def start_ramdisk(self, ctx: StepContext, unless: Callable[[], Awaitable[bool]] | None = None) -> None:
        """The imaginary ramdisk runs at once, or after ``fake_wait``."""

        async def boot() -> bool:
            await acts.act(ctx, "deploy.start_ramdisk", "ramdisk on")
            return True

        await ctx.once("ramdisk", boot)
        await acts.wait(ctx, unless)

    async def stop_ramdisk(self, ctx: StepContext) -> None:
        """The imaginary machine goes off."""
        await acts.act(ctx, "deploy.stop_ramdisk", "ramdisk off")

    async def tear_down(self, ctx: StepContext) -> None:
        """Off, through the power interface, so that the record follows."""
        await ctx.power.set(ctx, power.Target.OFF, ctx.kit.settings.power_timeout)
        await ctx.journal.change_node(power_state=power.Power.OFF.value)

    async def start_instance(self, ctx: StepContext) -> None:
        """The imaginary system starts."""
        await acts.act(ctx, "deploy.start_instance", "instance on")
        await ctx.power.set(ctx, power.Target.ON, ctx.kit.settings.power_timeout)
        await ctx.journal.change_node(power_state=power.Power.ON.value)

    @step(clean=99)
    async def erase_devices_metadata(self, ctx: StepContext) -> None:
        """Forget the imaginary partitions."""
        if ctx.driver_info.get("fake_wait"):
            await self.start_ramdisk(ctx)
        await acts.act(ctx, "deploy.erase_devices_metadata", "metadata erased")

    @step(deploy=100, undo="undo_prepare")
    async def prepare(self, ctx: StepContext) -> None:
        """Everything before the image."""

        async def prepare() -> bool:
            await acts.act(ctx, "deploy.prepare", "prepared")
            return True

        await ctx.once("prepared", prepare)
        if ctx.driver_info.get("fake_wait"):
            await self.start_ramdisk(ctx)

    async def undo_prepare(self, ctx: StepContext) -> None:
        """Take back what ``prepare`` did."""
        await acts.act(ctx, "deploy.undo_prepare", "prepare undone")

    @step(deploy=80, resume=runs.Resume.CHECK, probe="is_written")
    async def write_image(self, ctx: StepContext) -> None:
        """The destructive one: runs once, a probe tells whether a cut one had finished."""

        async def write() -> bool:
            await acts.act(ctx, "deploy.write_image", "image written")
            return True

        await ctx.once("written", write)

    async def is_written(self, ctx: StepContext) -> bool:
        """Whether the imaginary disk holds the image: the machine itself remembers."""
        return acts.has_effect(ctx, "image written")

    @step(deploy=20)
    async def boot_instance(self, ctx: StepContext) -> None:
        """Switch the machine on."""
        await ctx.power.set(ctx, power.Target.ON, ctx.kit.settings.power_timeout)
        await ctx.journal.change_node(power_state=power.Power.ON.value)
