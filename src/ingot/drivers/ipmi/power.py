"""Power by IPMI chassis control. Invariant: an order returns only once the wanted state was seen."""

from __future__ import annotations

from ingot.clients.ipmi import chassis
from ingot.domain import errors, power
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
        """Order, then look until it is so. A reboot is off and on: chassis reset does nothing on a dead machine."""
        match target:
            case power.Target.REBOOT:
                await self._order(ctx, power.Target.OFF, timeout)
                await self._order(ctx, power.Target.ON, timeout)
            case power.Target.SOFT_REBOOT:
                await self._order(ctx, power.Target.SOFT_OFF, timeout)
                await self._order(ctx, power.Target.ON, timeout)
            case power.Target.ON | power.Target.OFF | power.Target.SOFT_OFF:
                await self._order(ctx, target, timeout)

    async def _order(self, ctx: Context, wanted: power.Target, timeout: float) -> None:
        bmc = targets.of(ctx)
        if await self.get(ctx) == wanted.result():
            return
        try:
            await chassis.control(ctx.kit.ipmi, bmc, _ORDERS[wanted])
        except errors.Misbehaved:
            # "Not possible in the present state" is no failure when somebody or something else was quicker.
            if await self.get(ctx) != wanted.result():
                raise
        await power_wait.until(wanted.result(), lambda: self.get(ctx), timeout, f"The machine of BMC {bmc.name}")
