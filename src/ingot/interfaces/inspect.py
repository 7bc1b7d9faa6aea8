"""The inspect contract: find out what a machine is made of."""

from __future__ import annotations

from abc import abstractmethod

from ingot.interfaces.context import StepContext
from ingot.interfaces.contract import Interface


class InspectInterface(Interface):
    """One way to inspect."""

    @abstractmethod
    async def inspect(self, ctx: StepContext) -> None:
        """Find the inventory and store it (``ctx.journal.store_inventory``). A step: declare it with @step."""
