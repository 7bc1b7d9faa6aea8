"""Power by ComputerSystem.Reset. Invariant: an order returns only once the wanted state was seen."""

from __future__ import annotations

from functools import partial

from ingot.clients.redfish import systems
from ingot.domain import power
from ingot.drivers.redfish import target as targets
from ingot.interfaces import power_wait
from ingot.interfaces.context import Context
from ingot.interfaces.power import PowerInterface

_ON = {systems.PowerState.ON, systems.PowerState.POWERING_OFF, systems.PowerState.PAUSED}
"""A machine on its way down still runs; one on its way up does not yet."""
_SETTLED = {power.Power.ON: systems.PowerState.ON, power.Power.OFF: systems.PowerState.OFF}
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
        """The service must be described, and a CA file that is named must be here."""
        targets.check_ca(targets.of(ctx))

    async def get(self, ctx: Context) -> power.Power:
        """The system's PowerState."""
        state = await systems.power_state(ctx.kit.redfish, targets.of(ctx))
        return power.Power.ON if state in _ON else power.Power.OFF

    async def set(self, ctx: Context, target: power.Target, timeout: float) -> None:
        """Order, then look until it is so."""
        service = targets.of(ctx)
        for one in target.orders():
            await power_wait.reach(
                one.result(),
                partial(self._look, ctx, one.result()),
                partial(systems.reset, ctx.kit.redfish, service, _ORDERS[one]),
                timeout,
                f"The machine of {service.name}",
            )

    async def _look(self, ctx: Context, goal: power.Power) -> power.Power:
        """``goal`` once the machine has settled there, else the other: "PoweringOff" is not yet off, nor on to stay."""
        state = await systems.power_state(ctx.kit.redfish, targets.of(ctx))
        if state == _SETTLED[goal]:
            return goal
        return power.Power.OFF if goal == power.Power.ON else power.Power.ON
