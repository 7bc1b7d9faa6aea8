"""Brings a machine's firmware to the mode that its node asks for, before it is switched on.

May not: change a mode that nobody asks for. Invariant: after ``settle`` the node's row has the mode it will boot in.
"""

from __future__ import annotations

from ingot.domain import capabilities, errors
from ingot.interfaces.context import Context, StepContext


async def settle(ctx: StepContext) -> None:
    """UEFI or BIOS as the capability boot_mode says.

    Where the BMC does not tell its mode, the wish goes into the row, and with it into every boot device that is set.
    Raises errors.Invalid when the hardware is in the other mode and cannot change.
    """
    wanted = capabilities.wanted_boot_mode(ctx.instance_info, ctx.node.properties)
    if wanted is None:
        return
    present = await ctx.management.get_boot_mode(ctx)
    if present is not None and present != wanted:
        if wanted not in ctx.management.boot_modes:
            raise errors.Invalid(
                f"Node {ctx.node.uuid} asks for boot mode {wanted}, but boots in {present} mode",
                hint="Change it in the machine's setup, or the capability boot_mode.",
            )
        await ctx.management.set_boot_mode(ctx, wanted)
    if ctx.node.boot_mode != wanted:
        await ctx.journal.change_node(boot_mode=wanted)
        await ctx.refresh()


def check_uefi(ctx: Context) -> None:
    """Raise errors.Invalid where the node is known to boot in BIOS mode, which has no HTTP boot."""
    if ctx.node.boot_mode == "bios":
        raise errors.Invalid(
            f"Node {ctx.node.uuid} boots in BIOS mode, which has no HTTP boot", hint="Use boot interface ipxe or pxe."
        )


async def secure_instance(ctx: StepContext) -> None:
    """Secure Boot on, where the instance asks for it."""
    if capabilities.wants_secure_boot(ctx.instance_info):
        await ctx.management.set_secure_boot(ctx, on=True)
        await ctx.journal.change_node(secure_boot=True)


async def release_instance(ctx: StepContext) -> None:
    """Secure Boot off again, where the instance had asked for it."""
    if capabilities.wants_secure_boot(ctx.instance_info):
        await ctx.management.set_secure_boot(ctx, on=False)
        await ctx.journal.change_node(secure_boot=False)
