"""Power of an imaginary machine: it is what the record says, unless someone pressed its button (``fake_power``)."""

from __future__ import annotations

from ingot.domain import power
from ingot.drivers.fake import acts
from ingot.interfaces.context import Context
from ingot.interfaces.power import PowerInterface


class FakePower(PowerInterface):
    """Obeys at once."""

    targets = tuple(power.Target)

    async def validate(self, ctx: Context) -> None:
        """Delays must be numbers, a pressed button be one."""
        acts.check(ctx)

    async def get(self, ctx: Context) -> power.Power:
        """What ``fake_power`` says, else the stored power state; off when none is stored."""
        await acts.act(ctx, "power.get")
        return acts.pressed(ctx) or power.Power(ctx.node.power_state or power.Power.OFF)

    async def set(self, ctx: Context, target: power.Target, timeout: float) -> None:
        """Remember the change."""
        await acts.act(ctx, "power.set", f"power {target}")
