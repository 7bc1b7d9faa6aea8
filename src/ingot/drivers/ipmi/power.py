"""Power by IPMI chassis control. Invariant: an order returns only once the wanted state was seen."""

from __future__ import annotations

from ingot.clients.ipmi import chassis
from ingot.domain import errors, power
from ingot.drivers.ipmi import boot_device
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
        targets.check(ctx)

    async def get(self, ctx: Context) -> power.Power:
        """The chassis status."""
        on = await chassis.power_state(ctx.kit.ipmi, targets.of(ctx))
        return power.Power.ON if on else power.Power.OFF

    async def set(self, ctx: Context, target: power.Target, timeout: float) -> None:
        """Order, then look until it is so."""
        if ctx.node.disable_power_off and target in {power.Target.REBOOT, power.Target.SOFT_REBOOT}:
            await self._reset(ctx, target, timeout)
            return
        for one in target.orders():
            await self._reach(ctx, one, timeout)

    async def _reach(self, ctx: Context, target: power.Target, timeout: float) -> None:
        bmc = targets.of(ctx)

        async def order() -> None:
            if target is power.Target.ON:
                await boot_device.say_again(ctx)
            await chassis.control(ctx.kit.ipmi, bmc, _ORDERS[target])

        name = f"The machine of BMC {bmc.name}"
        once = target is power.Target.SOFT_OFF
        await power_wait.reach(target.result(), lambda: self.get(ctx), order, timeout, name, once=once)
        if target is power.Target.ON:
            await boot_device.used_up(ctx)

    async def _reset(self, ctx: Context, target: power.Target, timeout: float) -> None:
        """Restart without an off in between, for a node that must never be switched off."""
        if target is power.Target.SOFT_REBOOT:
            raise errors.NotSupported(
                f"Node {ctx.node.uuid} may not be powered off, and IPMI has no soft reboot without that.",
                hint="Reboot it hard, or clear disable_power_off.",
            )
        bmc = targets.of(ctx)
        if await self.get(ctx) == power.Power.OFF:
            await self._reach(ctx, power.Target.ON, timeout)
            return
        await boot_device.say_again(ctx)
        await chassis.control(ctx.kit.ipmi, bmc, chassis.Control.RESET)
        await power_wait.until(power.Power.ON, lambda: self.get(ctx), timeout, f"The machine of BMC {bmc.name}")
        await boot_device.used_up(ctx)
