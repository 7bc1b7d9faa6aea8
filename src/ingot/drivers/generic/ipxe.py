"""Boot by iPXE: DHCP never changes, the script is rendered from the node's row when the machine asks for it.

So preparing is writing two words into the row, and a new owner of the node need not do anything.
"""

from __future__ import annotations

import time

from ingot.domain import errors
from ingot.interfaces.boot import BootInterface
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.management import BootDevice

_PLAN = "boot"
_SHOWN = 3


class IpxeBoot(BootInterface):
    """Network boot through iPXE over HTTP."""

    async def validate(self, ctx: Context) -> None:
        """There must be a card to boot from, and a provisioning network to boot on."""
        if not ctx.macs():
            raise errors.Invalid(
                f"Node {ctx.node.uuid} has no port with pxe_enabled to boot from",
                hint="Create one: baremetal port create.",
            )
        await ctx.kit.boot.settle()
        problem = ctx.kit.boot.problem()
        if problem:
            raise errors.Invalid(problem, hint="")

    async def prepare_ramdisk(self, ctx: StepContext, params: dict[str, str]) -> None:
        """From now on the machine's script loads the ramdisk; boot from the network once."""
        await self._write(ctx, {"what": "ramdisk", "params": params})
        await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)

    async def clean_up_ramdisk(self, ctx: StepContext) -> None:
        """From now on the machine's script starts what is on the disk."""
        await self._write(ctx, {"what": "disk"})

    async def prepare_instance(self, ctx: StepContext) -> None:
        """Boot from the disk, always."""
        await self._write(ctx, {"what": "disk"})
        await ctx.management.set_boot_device(ctx, BootDevice.DISK, persistent=True)

    async def explain_silence(self, ctx: Context, since: float) -> str | None:
        """What DHCP, TFTP and HTTP saw of the machine since it was switched on."""
        problem = ctx.kit.boot.problem()
        if problem:
            return problem
        seen = [(found, mac) for mac in ctx.macs() if (found := ctx.kit.boot.last_seen(mac)) and found[0] >= since]
        if not seen:
            cards = ", ".join(ctx.macs())
            text = f"no DHCP request seen from {cards} since power-on; wrong VLAN, cable or NIC order"
            asked = " or ".join(ctx.kit.boot.strangers(since)[:_SHOWN])
            return f"{text}, or this machine is {asked}, which asked for an address and has no port" if asked else text
        (at, words), mac = max(seen)
        return f"{mac} {words}; that was {max(0.0, ctx_now(ctx) - at):.0f} s ago, nothing since"

    async def _write(self, ctx: StepContext, plan: dict[str, object]) -> None:
        info = {**(await ctx.refresh()).driver_internal_info, _PLAN: plan}
        await ctx.journal.change_node(driver_internal_info=info)


def ctx_now(ctx: Context) -> float:
    """The present time of a step's clock; a plain context has none, then of the machine."""
    return ctx.now() if isinstance(ctx, StepContext) else time.time()
