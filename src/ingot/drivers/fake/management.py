"""Settings, lamps, sensors and drives of an imaginary machine, kept while the process lives. May not: touch a thing."""

from __future__ import annotations

from ingot.domain import errors
from ingot.drivers.fake import acts
from ingot.interfaces import management
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootChoice, BootDevice, Indicator, IndicatorState, ManagementInterface

_ALL = (IndicatorState.BLINKING, IndicatorState.OFF, IndicatorState.ON)
_LAMPS = {
    "chassis": {"led-0": Indicator(readonly=True, states=(IndicatorState.OFF, IndicatorState.ON))},
    "system": {"led": Indicator(readonly=False, states=_ALL)},
}
_DRIVES = (BootDevice.CDROM, BootDevice.FLOPPY)


class FakeManagement(ManagementInterface):
    """Remembers what each node was told while the process lives."""

    boot_devices = (BootDevice.PXE, BootDevice.DISK, BootDevice.CDROM)
    boot_modes = ("uefi", "bios")

    def __init__(self) -> None:
        self._chosen: dict[str, BootChoice] = {}
        self._secure: dict[str, bool] = {}
        self._lamps: dict[tuple[str, str, str], IndicatorState] = {}
        self._media: dict[str, dict[BootDevice, str]] = {}
        self._cleared: set[str] = set()

    async def set_boot_device(self, ctx: Context, device: BootDevice, *, persistent: bool) -> None:
        """Remember it."""
        await acts.act(ctx, "management.set_boot_device", f"boot device {device}")
        self._chosen[ctx.node.uuid] = BootChoice(device, persistent)

    async def get_boot_device(self, ctx: Context) -> BootChoice:
        """What was set last; PXE at first, as fake machines always said."""
        await acts.act(ctx, "management.get_boot_device")
        return self._chosen.get(ctx.node.uuid, BootChoice(BootDevice.PXE, False))

    async def get_boot_mode(self, ctx: Context) -> str | None:
        """What the record says: an imaginary machine has no mode of its own."""
        await acts.act(ctx, "management.get_boot_mode")
        return ctx.node.boot_mode

    async def set_boot_mode(self, ctx: Context, mode: str) -> None:
        """The record, which follows, is all there is."""
        await acts.act(ctx, "management.set_boot_mode", f"boot mode {mode}")

    async def get_secure_boot(self, ctx: Context) -> bool | None:
        """What was set last; not known before."""
        await acts.act(ctx, "management.get_secure_boot")
        return self._secure.get(ctx.node.uuid, ctx.node.secure_boot)

    async def set_secure_boot(self, ctx: Context, *, on: bool) -> None:
        """Remember it."""
        await acts.act(ctx, "management.set_secure_boot", f"secure boot {'on' if on else 'off'}")
        self._secure[ctx.node.uuid] = on

    async def inject_nmi(self, ctx: Context) -> None:
        """Remember it."""
        await acts.act(ctx, "management.inject_nmi", "nmi")

    async def get_sensors(self, ctx: Context) -> management.Sensors:
        """One of each usual kind."""
        await acts.act(ctx, "management.get_sensors")
        return {
            "Temperature": {"Inlet (0x1)": {"Sensor ID": "Inlet (0x1)", "Sensor Reading": "21 degrees C"}},
            "Fan": {"Fan 1 (0x2)": {"Sensor ID": "Fan 1 (0x2)", "Sensor Reading": "4200 RPM"}},
        }

    async def list_indicators(self, ctx: Context) -> management.Indicators:
        """Two lamps, one of which can be set."""
        await acts.act(ctx, "management.list_indicators")
        return _LAMPS

    async def get_indicator(self, ctx: Context, component: str, name: str) -> IndicatorState:
        """What was set last; on at first."""
        await acts.act(ctx, "management.get_indicator")
        _lamp(component, name)
        return self._lamps.get((ctx.node.uuid, component, name), IndicatorState.ON)

    async def set_indicator(self, ctx: Context, component: str, name: str, state: IndicatorState) -> None:
        """Remember it."""
        lamp = _lamp(component, name)
        if lamp.readonly or state not in lamp.states:
            raise errors.Invalid(f"The indicator {name}@{component} cannot be set to {state}")
        await acts.act(ctx, "management.set_indicator", f"indicator {name}@{component} {state}")
        self._lamps[ctx.node.uuid, component, name] = state

    async def list_events(self, ctx: Context) -> list[management.LogEntry]:
        """One line, until cleared."""
        await acts.act(ctx, "management.list_events")
        if ctx.node.uuid in self._cleared:
            return []
        words = "The imaginary chassis was opened"
        return [management.LogEntry(id="1", at=None, severity="warning", source="chassis", message=words)]

    async def clear_events(self, ctx: Context) -> None:
        """Remember it."""
        await acts.act(ctx, "management.clear_events", "event log cleared")
        self._cleared.add(ctx.node.uuid)

    async def list_media(self, ctx: Context) -> list[management.Media]:
        """The two drives."""
        await acts.act(ctx, "management.list_media")
        inside = self._media.get(ctx.node.uuid, {})
        return [management.Media(device=each, image_url=inside.get(each)) for each in _DRIVES]

    async def attach_media(self, ctx: Context, device: BootDevice, image_url: str) -> None:
        """Remember it."""
        if device not in _DRIVES:
            raise errors.Invalid(f"The machine has no virtual {device}", hint=f"It has: {', '.join(_DRIVES)}.")
        await acts.act(ctx, "management.attach_media", f"{device} attached")
        self._media.setdefault(ctx.node.uuid, {})[device] = image_url

    async def detach_media(self, ctx: Context, devices: tuple[BootDevice, ...]) -> None:
        """Forget it."""
        await acts.act(ctx, "management.detach_media", "media detached")
        inside = self._media.get(ctx.node.uuid, {})
        for device in devices or _DRIVES:
            inside.pop(device, None)


def _lamp(component: str, name: str) -> Indicator:
    found = _LAMPS.get(component, {}).get(name)
    if found is None:
        raise errors.NotFound(f"There is no indicator {name}@{component}")
    return found
