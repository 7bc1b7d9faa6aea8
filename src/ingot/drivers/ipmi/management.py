"""Boot device by IPMI boot options (IPMI 2.0 section 28.12). May not: touch the machine's power."""

from __future__ import annotations

from contextlib import suppress

from ingot.clients.ipmi import chassis
from ingot.domain import errors
from ingot.drivers.ipmi import target
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootChoice, BootDevice, ManagementInterface


class IpmiManagement(ManagementInterface):
    """Set and get system boot options, parameter 5."""

    boot_devices = (BootDevice.PXE, BootDevice.DISK, BootDevice.CDROM, BootDevice.BIOS, BootDevice.SAFE)

    def properties(self) -> dict[str, str]:
        """The keys of a BMC."""
        return target.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The BMC must be described."""
        target.of(ctx)

    async def set_boot_device(self, ctx: Context, device: BootDevice, *, persistent: bool) -> None:
        """Set the boot flags; first ask the BMC not to drop them after 60 s, which many refuse without harm."""
        bmc = target.of(ctx)
        if str(ctx.driver_info.get("ipmi_disable_boot_timeout", True)).lower() not in {"false", "0", "no"}:
            with suppress(errors.Misbehaved, errors.NotSupported):
                await chassis.disable_boot_timeout(ctx.kit.ipmi, bmc)
        await chassis.set_boot_device(
            ctx.kit.ipmi,
            bmc,
            chassis.BootDevice(device.value),
            persistent=persistent,
            uefi=ctx.node.boot_mode == "uefi",
        )

    async def inject_nmi(self, ctx: Context) -> None:
        """Chassis control "pulse diagnostic interrupt"; errors.Misbehaved where the machine is off."""
        await chassis.control(ctx.kit.ipmi, target.of(ctx), chassis.Control.DIAG)

    async def get_boot_device(self, ctx: Context) -> BootChoice:
        """The boot flags the BMC holds."""
        flags = await chassis.get_boot_device(ctx.kit.ipmi, target.of(ctx))
        device = None if flags.device is None else BootDevice(flags.device.value)
        return BootChoice(device, flags.persistent if device else None)
