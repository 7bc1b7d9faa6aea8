"""The power contract: read and change whether a machine runs."""

from __future__ import annotations

from abc import abstractmethod

from ingot.domain import power
from ingot.interfaces.context import Context
from ingot.interfaces.contract import Interface


class PowerInterface(Interface):
    """One way to a machine's power button."""

    targets: tuple[power.Target, ...] = (power.Target.ON, power.Target.OFF, power.Target.REBOOT)
    """What ``set`` can be asked for."""

    @abstractmethod
    async def get(self, ctx: Context) -> power.Power:
        """The power state as the hardware tells it now. Raises errors.Unreachable, AccessDenied, Misbehaved."""

    @abstractmethod
    async def set(self, ctx: Context, target: power.Target, timeout: float) -> None:
        """Change the power and return once the wanted state was seen.

        ``timeout`` in seconds; errors.TimedOut after it. REBOOT of a machine that is off switches it on.
        """
