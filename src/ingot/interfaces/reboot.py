"""Restarting a machine in the middle of a step that needs it: settings and firmware often come into force at a boot.

May not: wait for what the reboot is to bring about; that is the step's own wait. Invariant: one reboot per step and
``key``, whatever interrupts it (a crash between the reboot and its note repeats it).
"""

from __future__ import annotations

from ingot.domain import power
from ingot.interfaces.context import StepContext


async def once(ctx: StepContext, key: str = "reboot") -> None:
    """Reboot the machine (one that is off is switched on). A ramdisk that ran is gone: agent steps boot it again."""

    async def restart() -> bool:
        await ctx.power.set(ctx, power.Target.REBOOT, ctx.kit.settings.power_timeout)
        await ctx.journal.set_agent_token(None)
        await ctx.journal.change_node(power_state=power.Power.ON.value)
        return True

    await ctx.once(key, restart)
    await ctx.refresh()
