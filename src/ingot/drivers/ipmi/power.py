"""Power by IPMI chassis control. Invariant: an order returns only once the wanted state was seen."""

from __future__ import annotations

from functools import partial

from ingot.clients.ipmi import chassis
from ingot.domain import power
from ingot.drivers.ipmi import target as targets
from ingot.interfaces import power_wait
from ingot.interfaces.context import Context
from ingot.interfaces.power import PowerInterface

_ORDERS = {
    power.Target.ON: chassis.Control.ON,
    power.Target.OFF: chassis.Control.OFF,
    power.Target.SOFT_OFF: chassis.Control.SOFT,
}


class IpmiPower(PowerInterface):
    """Chassis status and chassis control."""

    targets = tuple(power.Target)

    def properties(self) -> dict[str, str]:
        """The keys of a BMC."""
        return targets.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The BMC must be described."""
        targets.of(ctx)

    async def get(self, ctx: Context) -> power.Power:
        """The chassis status."""
        on = await chassis.power_state(ctx.kit.ipmi, targets.of(ctx))
        return power.Power.ON if on else power.Power.OFF

    async def set(self, ctx: Context, target: power.Target, timeout: float) -> None:
        """Order, then look until it is so."""
        bmc = targets.of(ctx)
        for one in target.orders():
            await power_wait.reach(
                one.result(),
                lambda: self.get(ctx),
                partial(chassis.control, ctx.kit.ipmi, bmc, _ORDERS[one]),
                timeout,
                f"The machine of BMC {bmc.name}",
            )
