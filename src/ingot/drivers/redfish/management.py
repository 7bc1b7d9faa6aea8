"""Boot device and boot mode by the boot override."""

from __future__ import annotations

from ingot.clients.redfish import systems
from ingot.drivers.redfish import target
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootChoice, BootDevice, ManagementInterface

_TARGETS = {
    BootDevice.PXE: systems.BootTarget.PXE,
    BootDevice.DISK: systems.BootTarget.HDD,
    BootDevice.CDROM: systems.BootTarget.CD,
    BootDevice.BIOS: systems.BootTarget.BIOS_SETUP,
}
_DEVICES = {boot_target.value: device for device, boot_target in _TARGETS.items()}
_MODES = {"uefi": systems.BootMode.UEFI, "bios": systems.BootMode.LEGACY}


class RedfishManagement(ManagementInterface):
    """BootSourceOverride of the system."""

    boot_devices = tuple(_TARGETS)

    def properties(self) -> dict[str, str]:
        """The keys of a Redfish service."""
        return target.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The service must be described, and a CA file that is named must be here."""
        target.check_ca(target.of(ctx))

    async def set_boot_device(self, ctx: Context, device: BootDevice, *, persistent: bool) -> None:
        """Set the override, with the node's boot mode where it is known."""
        enabled = systems.BootEnabled.CONTINUOUS if persistent else systems.BootEnabled.ONCE
        wanted = systems.Boot(_TARGETS[device].value, enabled, _MODES.get(ctx.node.boot_mode or ""))
        await systems.set_boot(ctx.kit.redfish, target.of(ctx), wanted)

    async def inject_nmi(self, ctx: Context) -> None:
        """Reset type Nmi; errors.NotSupported where the service does not offer it."""
        await systems.reset(ctx.kit.redfish, target.of(ctx), systems.ResetType.NMI)

    async def get_boot_device(self, ctx: Context) -> BootChoice:
        """The override the service holds."""
        boot = await systems.get_boot(ctx.kit.redfish, target.of(ctx))
        device = _DEVICES.get(boot.target or "")
        return BootChoice(device, None if device is None else boot.enabled == systems.BootEnabled.CONTINUOUS)

    async def get_boot_mode(self, ctx: Context) -> str | None:
        """The mode the service tells."""
        boot = await systems.get_boot(ctx.kit.redfish, target.of(ctx))
        return next((name for name, mode in _MODES.items() if mode == boot.mode), None)
