"""Booting an imaginary machine: every call is only remembered. May not: touch anything real."""

from __future__ import annotations

from typing import ClassVar

from ingot.drivers.fake import acts
from ingot.interfaces.boot import BootInterface
from ingot.interfaces.context import StepContext


class FakeBoot(BootInterface):
    """Boots anything, in imagination."""

    real: ClassVar[bool] = False

    async def prepare_ramdisk(self, ctx: StepContext, params: dict[str, str]) -> None:
        """Only remembers."""
        await acts.act(ctx, "boot.prepare_ramdisk", "boot ramdisk prepared")

    async def clean_up_ramdisk(self, ctx: StepContext) -> None:
        """Only remembers."""
        await acts.act(ctx, "boot.clean_up_ramdisk", "boot ramdisk forgotten")

    async def prepare_instance(self, ctx: StepContext) -> None:
        """Only remembers."""
        await acts.act(ctx, "boot.prepare_instance", "boot from disk prepared")
