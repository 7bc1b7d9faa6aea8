"""Choosing the boot device on a BMC: flags, quirks, reading back, and saying it again before each power-on.

Why: management sets it, and power has to repeat it for BMCs that forget (ipmi_force_boot_device).
May not: switch power. Invariant: a device that the BMC demonstrably does not hold is an error, not a hope.
"""

from __future__ import annotations

from contextlib import suppress

from ingot.clients.ipmi import chassis, device
from ingot.clients.ipmi.target import Target
from ingot.domain import capabilities, errors
from ingot.drivers.ipmi import target as targets
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootChoice, BootDevice

ALWAYS, NEXT_IS_ALWAYS = "persistent_boot_device", "is_next_boot_persistent"
"""Keys of driver_internal_info, by Ironic's names."""
_SUPERMICRO, _SUPERMICRO_UEFI_DISK = 10876, 0x24
"""Its firmware boots a UEFI disk by this selector only (Ironic's ipmitool driver, after Supermicro's FAQ 25559)."""


async def choose(ctx: Context, wanted: BootDevice, *, persistent: bool) -> None:
    """Set the boot flags; with ipmi_force_boot_device a persistent choice is kept by us and set once."""
    if targets.flag(ctx, "ipmi_force_boot_device", default=False):
        await ctx.keep({ALWAYS: wanted.value, NEXT_IS_ALWAYS: None} if persistent else {NEXT_IS_ALWAYS: False})
        persistent = False
    await _set(ctx, wanted, persistent=persistent)


async def say_again(ctx: Context) -> None:
    """Before a power-on: what was chosen for all boots, unless the next boot has a choice of its own."""
    if not targets.flag(ctx, "ipmi_force_boot_device", default=False):
        return
    always = ctx.node.driver_internal_info.get(ALWAYS)
    if always and ctx.node.driver_internal_info.get(NEXT_IS_ALWAYS, True):
        await _set(ctx, BootDevice(always), persistent=False)


async def used_up(ctx: Context) -> None:
    """After a power-on: a choice for one boot has had its boot."""
    if ctx.node.driver_internal_info.get(NEXT_IS_ALWAYS) is False:
        await ctx.keep({NEXT_IS_ALWAYS: None})


async def read(ctx: Context) -> BootChoice:
    """What the machine boots from: what we keep for a BMC that forgets, else the BMC's flags."""
    kept = ctx.node.driver_internal_info
    if (
        targets.flag(ctx, "ipmi_force_boot_device", default=False)
        and kept.get(ALWAYS)
        and kept.get(NEXT_IS_ALWAYS, True)
    ):
        return BootChoice(BootDevice(kept[ALWAYS]), True)
    flags = await chassis.get_boot_device(ctx.kit.ipmi, targets.of(ctx))
    held = None if flags.device is None else BootDevice(flags.device.value)
    return BootChoice(held, flags.persistent if held else None)


def mode(ctx: Context) -> str | None:
    """The node's boot mode: as recorded, else as its capabilities ask for, else None."""
    return ctx.node.boot_mode or capabilities.wanted_boot_mode(ctx.instance_info, ctx.node.properties)


async def set_mode(ctx: Context, wanted: str) -> None:
    """Set the flag for UEFI or legacy boot, with the device the BMC holds (none: for every boot)."""
    bmc = targets.of(ctx)
    held = await chassis.get_boot_device(ctx.kit.ipmi, bmc)
    await _keep_flags(ctx, bmc)
    persistent = held.persistent or held.device is None
    await chassis.set_boot_device(ctx.kit.ipmi, bmc, held.device, persistent=persistent, uefi=wanted == "uefi")
    now = await chassis.get_boot_device(ctx.kit.ipmi, bmc)
    if now.uefi != (wanted == "uefi"):
        raise errors.NotSupported(
            f"BMC {bmc.name} took the boot mode {wanted} but does not keep it.",
            hint="Set it in the machine's firmware.",
        )


async def _set(ctx: Context, wanted: BootDevice, *, persistent: bool) -> None:
    bmc = targets.of(ctx)
    await _keep_flags(ctx, bmc)
    uefi = mode(ctx) == "uefi"
    chosen = chassis.BootDevice(wanted.value)
    odd = uefi and wanted is BootDevice.DISK and await _is_supermicro(ctx, bmc)
    await chassis.set_boot_device(
        ctx.kit.ipmi,
        bmc,
        chosen,
        persistent=persistent,
        uefi=uefi,
        selector=_SUPERMICRO_UEFI_DISK if odd else None,
    )
    if targets.flag(ctx, "ipmi_verify_boot_device", default=True):
        await _verify(ctx, bmc, chosen)


async def _is_supermicro(ctx: Context, bmc: Target) -> bool:
    """Whether the node's properties (as Ironic asks for it) or the BMC itself say so."""
    if vendor := ctx.node.properties.get("vendor"):
        return str(vendor).lower() == "supermicro"
    return (await device.id(ctx.kit.ipmi, bmc)).manufacturer == _SUPERMICRO


async def _keep_flags(ctx: Context, bmc: Target) -> None:
    """Ask the BMC not to drop boot flags after 60 s; many refuse this without harm."""
    if targets.flag(ctx, "ipmi_disable_boot_timeout", default=True):
        with suppress(errors.Misbehaved, errors.NotSupported):
            await chassis.disable_boot_timeout(ctx.kit.ipmi, bmc)


async def _verify(ctx: Context, bmc: Target, wanted: chassis.BootDevice) -> None:
    try:
        held = (await chassis.get_boot_device(ctx.kit.ipmi, bmc)).device
    except (errors.Misbehaved, errors.NotSupported):
        return  # it cannot be read here, so it cannot be known
    folded = {wanted, chassis.BootDevice.DISK} if wanted is chassis.BootDevice.SAFE else {wanted}
    if held not in folded:
        raise errors.Misbehaved(
            f"BMC {bmc.name} accepted the boot device {wanted} but says that it holds {held or 'none'}.",
            hint="Update or reset the BMC; if the machine boots right all the same, set driver_info "
            "ipmi_verify_boot_device to false.",
        )
