"""Power by ComputerSystem.Reset. Invariant: an order returns only once the wanted state was seen."""

from __future__ import annotations

from ingot.clients.redfish import systems
from ingot.domain import power
from ingot.drivers.redfish import target as targets
from ingot.interfaces import power_wait
from ingot.interfaces.context import Context
from ingot.interfaces.power import PowerInterface

_ON = {systems.PowerState.ON, systems.PowerState.POWERING_OFF, systems.PowerState.PAUSED}
"""A machine on its way down still runs; one on its way up does not yet."""
_ORDERS = {
    power.Target.ON: systems.ResetType.ON,
    power.Target.OFF: systems.ResetType.FORCE_OFF,
    power.Target.SOFT_OFF: systems.ResetType.GRACEFUL_SHUTDOWN,
}


class RedfishPower(PowerInterface):
    """PowerState and the reset action."""

    targets = tuple(power.Target)

    def properties(self) -> dict[str, str]:
        """The keys of a Redfish service."""
        return targets.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The service must be described."""
        targets.of(ctx)

    async def get(self, ctx: Context) -> power.Power:
        """The system's PowerState."""
        state = await systems.power_state(ctx.kit.redfish, targets.of(ctx))
        return power.Power.ON if state in _ON else power.Power.OFF

    async def set(self, ctx: Context, target: power.Target, timeout: float) -> None:
        """Order, then look until it is so; a reboot is off and on, which every BMC does alike."""
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
        service = targets.of(ctx)
        if await self.get(ctx) == wanted.result():
            return
        await systems.reset(ctx.kit.redfish, service, _ORDERS[wanted])
        await power_wait.until(wanted.result(), lambda: self.get(ctx), timeout, f"The machine of {service.name}")
