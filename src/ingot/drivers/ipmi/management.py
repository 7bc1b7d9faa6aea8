"""Boot device and mode, NMI, identify lamp, sensors and event log of a BMC. May not: change whether a machine runs."""

from __future__ import annotations

from datetime import UTC, datetime

from ingot.clients.ipmi import chassis, sel, sensor_words, sensors
from ingot.clients.ipmi.target import Target
from ingot.domain import errors
from ingot.drivers.ipmi import boot_device, words
from ingot.drivers.ipmi import target as targets
from ingot.interfaces.context import Context
from ingot.interfaces.management import (
    BootChoice,
    BootDevice,
    Indicator,
    Indicators,
    IndicatorState,
    LogEntry,
    ManagementInterface,
    Sensors,
)

_COMPONENT, _LAMP = "chassis", "identify"
_LAMP_STATES = (IndicatorState.ON, IndicatorState.OFF)


class IpmiManagement(ManagementInterface):
    """What IPMI offers beside power."""

    boot_devices = (BootDevice.PXE, BootDevice.DISK, BootDevice.CDROM, BootDevice.BIOS, BootDevice.SAFE)
    boot_modes = ("bios", "uefi")

    def properties(self) -> dict[str, str]:
        """The keys of a BMC."""
        return targets.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The BMC must be described."""
        targets.check(ctx)
        for key in ("ipmi_force_boot_device", "ipmi_disable_boot_timeout", "ipmi_verify_boot_device"):
            targets.flag(ctx, key, default=False)

    async def set_boot_device(self, ctx: Context, device: BootDevice, *, persistent: bool) -> None:
        """Set the boot flags and read them back."""
        await boot_device.choose(ctx, device, persistent=persistent)

    async def get_boot_device(self, ctx: Context) -> BootChoice:
        """The boot flags the BMC holds."""
        return await boot_device.read(ctx)

    async def get_boot_mode(self, ctx: Context) -> str | None:
        """ "uefi" where the boot flags say so, else None: BMCs that do not know the flag leave it cleared, too."""
        flags = await chassis.get_boot_device(ctx.kit.ipmi, targets.of(ctx))
        return "uefi" if flags.valid and flags.uefi else None

    async def set_boot_mode(self, ctx: Context, mode: str) -> None:
        """Set the boot flags' mode; errors.NotSupported where the BMC does not keep it."""
        await boot_device.set_mode(ctx, mode)

    async def inject_nmi(self, ctx: Context) -> None:
        """Chassis control "pulse diagnostic interrupt"; errors.Misbehaved where the machine is off."""
        await chassis.control(ctx.kit.ipmi, targets.of(ctx), chassis.Control.DIAG)

    async def get_sensors(self, ctx: Context) -> Sensors:
        """Every sensor with a reading, by kind, in the shape Ironic makes of ``ipmitool sdr -v``."""
        found: Sensors = {}
        for reading in await sensors.read(ctx.kit.ipmi, targets.of(ctx)):
            shown = words.sensor(reading)
            group = sensor_words.kind(reading.sensor.kind).split(" ", 1)[0]
            found.setdefault(group, {})[shown["Sensor ID"]] = shown
        return found

    async def list_indicators(self, ctx: Context) -> Indicators:
        """The identify lamp of the chassis: all that IPMI has."""
        return {_COMPONENT: {_LAMP: Indicator(readonly=False, states=_LAMP_STATES)}}

    async def get_indicator(self, ctx: Context, component: str, name: str) -> IndicatorState:
        """Whether the lamp is on; unknown where the BMC does not tell."""
        _check_lamp(ctx, component, name)
        on = await chassis.lamp(ctx.kit.ipmi, targets.of(ctx))
        return IndicatorState.UNKNOWN if on is None else IndicatorState.ON if on else IndicatorState.OFF

    async def set_indicator(self, ctx: Context, component: str, name: str, state: IndicatorState) -> None:
        """Switch the lamp."""
        _check_lamp(ctx, component, name)
        if state not in _LAMP_STATES:
            raise errors.Invalid(f"The lamp {name}@{component} cannot be {state}.", hint="It can be on or off.")
        await chassis.identify(ctx.kit.ipmi, targets.of(ctx), on=state is IndicatorState.ON)

    async def list_events(self, ctx: Context) -> list[LogEntry]:
        """The system event log, with the names of the sensors it is about where the BMC has records of them."""
        bmc = targets.of(ctx)
        names = await _names(ctx, bmc)
        return [_entry(one, names) for one in await sel.read(ctx.kit.ipmi, bmc)]

    async def clear_events(self, ctx: Context) -> None:
        """Empty the system event log."""
        await sel.clear(ctx.kit.ipmi, targets.of(ctx))


async def _names(ctx: Context, bmc: Target) -> dict[int, str]:
    try:
        return {one.number: one.name for one in await sensors.known(ctx.kit.ipmi, bmc) if one.owner == bmc.controller}
    except (errors.NotSupported, errors.Misbehaved):
        return {}


def _entry(one: sel.Entry, names: dict[int, str]) -> LogEntry:
    at = None if one.at is None else datetime.fromtimestamp(one.at, UTC).isoformat()
    severity, source, message = words.event(one, names)
    return LogEntry(id=str(one.number), at=at, severity=severity, source=source, message=message)


def _check_lamp(ctx: Context, component: str, name: str) -> None:
    if (component, name) != (_COMPONENT, _LAMP):
        raise errors.NotFound(
            f"Node {ctx.node.uuid} has no indicator {name}@{component}.", hint=f"It has {_LAMP}@{_COMPONENT}."
        )
