"""Boot device and mode by the boot override, secure boot, virtual media, sensors, lamps, event log."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, cast

from ingot.clients.redfish import indicators, logs, media, secure_boot, sensors, systems
from ingot.domain import errors
from ingot.drivers.redfish import clocks, installing, restart, target
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.management import (
    BootChoice,
    BootDevice,
    Indicator,
    Indicators,
    IndicatorState,
    LogEntry,
    ManagementInterface,
    Media,
    Sensors,
)
from ingot.interfaces.steps import step

_TARGETS = {
    BootDevice.PXE: systems.BootTarget.PXE,
    BootDevice.DISK: systems.BootTarget.HDD,
    BootDevice.CDROM: systems.BootTarget.CD,
    BootDevice.BIOS: systems.BootTarget.BIOS_SETUP,
    BootDevice.UEFIHTTP: systems.BootTarget.UEFI_HTTP,
}
_DEVICES = {boot_target.value: device for device, boot_target in _TARGETS.items()}
_DEVICES[systems.BootTarget.USB_CD.value] = BootDevice.CDROM
_MODES = {"uefi": systems.BootMode.UEFI, "bios": systems.BootMode.LEGACY}
_MEDIA = {
    BootDevice.CDROM: (media.Kind.CD, media.Kind.DVD),
    BootDevice.DISK: (media.Kind.USB,),
    BootDevice.FLOPPY: (media.Kind.FLOPPY,),
}
_LAMPS = {
    indicators.State.ON: IndicatorState.ON,
    indicators.State.OFF: IndicatorState.OFF,
    indicators.State.BLINKING: IndicatorState.BLINKING,
    indicators.State.UNKNOWN: IndicatorState.UNKNOWN,
}


class RedfishManagement(ManagementInterface):
    """BootSourceOverride of the system."""

    boot_devices = tuple(_TARGETS)
    boot_modes = tuple(_MODES)

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

    async def set_http_boot(self, ctx: Context, url: str) -> None:
        """Override UefiHttp, once, with HttpBootUri."""
        once, mode = systems.BootEnabled.ONCE, systems.BootMode.UEFI
        wanted = systems.Boot(systems.BootTarget.UEFI_HTTP, once, mode, url)
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

    async def set_boot_mode(self, ctx: Context, mode: str) -> None:
        """Set the override's mode and keep its device and duration, as many services want the three together."""
        service = target.of(ctx)
        present = await systems.get_boot(ctx.kit.redfish, service)
        if present.mode == _MODES[mode]:
            return
        wanted = systems.Boot(present.target, present.enabled, _MODES[mode])
        await systems.set_boot(ctx.kit.redfish, service, wanted)

    async def get_secure_boot(self, ctx: Context) -> bool | None:
        """SecureBootEnable; None where the service tells nothing of it."""
        return await secure_boot.is_enabled(ctx.kit.redfish, target.of(ctx))

    async def set_secure_boot(self, ctx: Context, *, on: bool) -> None:
        """Change SecureBootEnable; in force from the machine's next boot on."""
        await secure_boot.enable(ctx.kit.redfish, target.of(ctx), enabled=on)

    @step(clean=0, deploy=0)
    async def clear_secure_boot_keys(self, ctx: StepContext) -> None:
        """Delete all secure boot keys."""
        await secure_boot.reset_keys(ctx.kit.redfish, target.of(ctx), secure_boot.KeyReset.DELETE_ALL)

    @step(clean=0, deploy=0)
    async def reset_secure_boot_keys_to_default(self, ctx: StepContext) -> None:
        """Restore the maker's secure boot keys."""
        await secure_boot.reset_keys(ctx.kit.redfish, target.of(ctx), secure_boot.KeyReset.DEFAULT)

    @step(clean=0, abortable=False)
    async def set_bmc_clock(self, ctx: StepContext) -> None:
        """Set the BMC's clock to target_datetime (default: now), and its zone to datetime_local_offset where given."""
        given, offset = ctx.args.get("target_datetime"), ctx.args.get("datetime_local_offset")
        at = datetime.fromtimestamp(ctx.now(), UTC) if given is None else _time(given)
        if offset is not None and not re.fullmatch(r"[+-]\d\d:\d\d", str(offset)):
            raise errors.Invalid(f"datetime_local_offset {offset!r} is not valid", hint="Give it as +02:00.")
        await clocks.put(ctx, at, offset)

    @step(verify=1)
    async def verify_bmc_clock(self, ctx: StepContext) -> None:
        """Set the BMC's clock right where it is more than a second off, if the setting verify_bmc_clock is on."""
        if ctx.kit.settings.verify_bmc_clock:
            await clocks.settle(ctx)

    @step(clean=0, service=0, abortable=False)
    async def update_firmware(self, ctx: StepContext) -> None:
        """Install the images of the argument firmware_images one after another, restarting the machine where needed."""
        images = _images(ctx)
        before: installing.Versions = await ctx.once("before", lambda: installing.versions(ctx))
        await restart.before(ctx)
        for number, image in enumerate(images):
            await installing.install(ctx, [image], f"image {number}")
            await installing.wait_for_bmc(ctx)
        now = await installing.versions(ctx)
        await installing.tell(ctx, before, [name for name in now if now[name] != before.get(name)])
        await restart.after(ctx)

    async def list_media(self, ctx: Context) -> list[Media]:
        """The drives of the system and of its managers; one that can be several kinds is told once for each."""
        drives = await media.list_all(ctx.kit.redfish, target.of(ctx))
        return [
            Media(device=device, image_url=one.image)
            for one in drives
            for device, words in _MEDIA.items()
            if set(words) & set(one.kinds)
        ]

    async def attach_media(self, ctx: Context, device: BootDevice, image_url: str) -> None:
        """InsertMedia in whatever shape the maker gave it; returns once the drive shows the image."""
        await media.insert(ctx.kit.redfish, target.of(ctx), _kinds(device), image_url)

    async def detach_media(self, ctx: Context, devices: tuple[BootDevice, ...]) -> None:
        """EjectMedia of all fitting drives."""
        kinds = tuple(kind for device in devices or tuple(_MEDIA) for kind in _kinds(device))
        await media.eject(ctx.kit.redfish, target.of(ctx), kinds)

    async def get_sensors(self, ctx: Context) -> Sensors:
        """Temperatures, fans, power supplies, voltages and the health of drives."""
        return await sensors.read(ctx.kit.redfish, target.of(ctx))

    async def list_indicators(self, ctx: Context) -> Indicators:
        """The lamps of system, chassis and drives."""
        found: Indicators = {}
        for lamp in await indicators.list_all(ctx.kit.redfish, target.of(ctx)):
            states = tuple(_LAMPS[state] for state in lamp.states)
            found.setdefault(lamp.component, {})[lamp.name] = Indicator(readonly=False, states=states)
        return found

    async def get_indicator(self, ctx: Context, component: str, name: str) -> IndicatorState:
        """What the lamp does."""
        return _LAMPS[(await _lamp(ctx, component, name)).state]

    async def set_indicator(self, ctx: Context, component: str, name: str, state: IndicatorState) -> None:
        """Switch the lamp."""
        lamp = await _lamp(ctx, component, name)
        words = {_LAMPS[one]: one for one in lamp.states}
        if state not in words:
            raise errors.Invalid(f"The indicator {name}@{component} cannot be set to {state}.")
        await indicators.switch(ctx.kit.redfish, target.of(ctx), lamp, words[state])

    async def list_events(self, ctx: Context) -> list[LogEntry]:
        """The entries of the log service that holds hardware events."""
        entries = await logs.read(ctx.kit.redfish, target.of(ctx))
        return [
            LogEntry(id=one.id, at=one.at, severity=one.severity, source=one.source, message=one.message)
            for one in entries
        ]

    async def clear_events(self, ctx: Context) -> None:
        """ClearLog."""
        await logs.clear(ctx.kit.redfish, target.of(ctx))


async def _lamp(ctx: Context, component: str, name: str) -> indicators.Lamp:
    for lamp in await indicators.list_all(ctx.kit.redfish, target.of(ctx)):
        if (lamp.component, lamp.name) == (component, name):
            return lamp
    raise errors.NotFound(f"There is no indicator {name}@{component}.", hint="See the node's list of indicators.")


def _time(given: object) -> datetime:
    """A time as ISO 8601 has it, UTC where it names no zone. Raises errors.Invalid."""
    try:
        at = datetime.fromisoformat(str(given))
    except ValueError:
        raise errors.Invalid(
            f"target_datetime {given!r} is not a time", hint="Give it as 2026-11-21T12:00:00+00:00."
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _images(ctx: StepContext) -> list[installing.Image]:
    """The images of the argument firmware_images, in Ironic's shape. Raises errors.Invalid."""
    given: Any = ctx.args.get("firmware_images")
    if not isinstance(given, list) or not given:
        raise errors.Invalid('The step needs the argument firmware_images: [{"url": ..., "checksum": ...}]')
    found: list[installing.Image] = []
    for each in cast("list[Any]", given):
        entry = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        if not {"url", "checksum"} <= set(entry) <= {"url", "checksum", "wait", "source"}:
            raise errors.Invalid(
                f"Each of firmware_images must have url and checksum (and may have wait), not {each!r}"
            )
        if entry.get("source") not in (None, "http", "local"):
            raise errors.NotSupported(f"ingot serves no firmware from {entry['source']}", hint="Leave source out.")
        url = installing.check_url(entry["url"], "firmware_images")
        checksum = installing.check_checksum(entry["checksum"], url)
        found.append(installing.Image(url=url, checksum=checksum, pause=installing.check_pause(entry.get("wait"))))
    return found


def _kinds(device: BootDevice) -> tuple[media.Kind, ...]:
    if device not in _MEDIA:
        raise errors.Invalid(f"There are no virtual drives of kind {device}.", hint=f"Kinds: {', '.join(_MEDIA)}.")
    return _MEDIA[device]
