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
_RESTARTS = {
    power.Target.REBOOT: systems.ResetType.FORCE_RESTART,
    power.Target.SOFT_REBOOT: systems.ResetType.GRACEFUL_RESTART,
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
        if ctx.node.disable_power_off and target in _RESTARTS:
            await self._restart(ctx, target, timeout)
            return
        for one in target.orders():
            await self._reach(ctx, one, timeout)

    async def _reach(self, ctx: Context, target: power.Target, timeout: float) -> None:
        service, goal = targets.of(ctx), target.result()
        order = partial(systems.reset, ctx.kit.redfish, service, _ORDERS[target])
        look, once = partial(self._look, ctx, goal), target is power.Target.SOFT_OFF
        await power_wait.reach(goal, look, order, timeout, f"The machine of {service.name}", once=once)

    async def _restart(self, ctx: Context, target: power.Target, timeout: float) -> None:
        """Restart without an off in between, for a node that must never be switched off."""
        if await self.get(ctx) == power.Power.OFF:
            await self._reach(ctx, power.Target.ON, timeout)
            return
        service = targets.of(ctx)
        await systems.reset(ctx.kit.redfish, service, _RESTARTS[target])
        look = partial(self._look, ctx, power.Power.ON)
        await power_wait.until(power.Power.ON, look, timeout, f"The machine of {service.name}")

    async def _look(self, ctx: Context, goal: power.Power) -> power.Power:
        """``goal`` once the machine has settled there, else the other: "PoweringOff" is not yet off, nor on to stay."""
        state = await systems.power_state(ctx.kit.redfish, targets.of(ctx))
        if state == _SETTLED[goal]:
            return goal
        return power.Power.OFF if goal == power.Power.ON else power.Power.ON
