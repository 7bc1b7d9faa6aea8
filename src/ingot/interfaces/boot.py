"""The boot contract: how a machine comes to run the deploy ramdisk, or its own disk."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.contract import Interface


class BootInterface(Interface):
    """One way to boot a machine."""

    real: ClassVar[bool] = True
    """Whether a machine comes to run anything by it."""

    @abstractmethod
    async def prepare_ramdisk(self, ctx: StepContext, params: dict[str, str]) -> None:
        """Make the next boot load the ramdisk with these kernel parameters; power is not touched."""

    async def resume_ramdisk(self, ctx: StepContext) -> None:
        """Make anew what ``prepare_ramdisk`` left on a host; called whenever the wait for the ramdisk is taken up."""
        return

    async def release_ramdisk(self, ctx: StepContext) -> None:
        """The ramdisk has called and runs from memory: take away what only its start needed. May be called twice."""
        return

    @abstractmethod
    async def clean_up_ramdisk(self, ctx: StepContext) -> None:
        """Forget what ``prepare_ramdisk`` made."""

    @abstractmethod
    async def prepare_instance(self, ctx: StepContext) -> None:
        """Make every later boot start the deployed system from its disk."""

    async def explain_silence(self, ctx: Context, since: float) -> str | None:
        """What is known of a machine that should boot but does not call, since epoch seconds; None: nothing."""
        return None
