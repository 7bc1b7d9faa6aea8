"""ComputerSystem: power, and what to boot from next.

Why: the few things every Redfish driver needs. May not: wait for the power state to follow.
Invariant: nothing is sent that the service says it does not allow. Source: DSP0268, ComputerSystem.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import cast

import msgspec

from ingot.clients.redfish import quirks, tasks
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, items, link, part, strings, text
from ingot.clients.redfish.target import Target
from ingot.domain import errors

_URI = "HttpBootUri"
CHECK_PAUSES = (0.5, 1.0, 2.0, 4.0)  # some services show a change late


class PowerState(StrEnum):
    """PowerState of a system."""

    ON = "On"
    OFF = "Off"
    POWERING_ON = "PoweringOn"
    POWERING_OFF = "PoweringOff"
    PAUSED = "Paused"


class ResetType(StrEnum):
    """ResetType of the action #ComputerSystem.Reset."""

    ON = "On"
    FORCE_ON = "ForceOn"
    FORCE_OFF = "ForceOff"
    GRACEFUL_SHUTDOWN = "GracefulShutdown"
    GRACEFUL_RESTART = "GracefulRestart"
    FORCE_RESTART = "ForceRestart"
    POWER_CYCLE = "PowerCycle"
    NMI = "Nmi"


# What means the same when the wanted one is not allowed, best first.
SUBSTITUTES = {
    ResetType.ON: (ResetType.FORCE_ON,),
    ResetType.FORCE_ON: (ResetType.ON,),
    ResetType.GRACEFUL_RESTART: (ResetType.FORCE_RESTART, ResetType.POWER_CYCLE),
    ResetType.FORCE_RESTART: (ResetType.POWER_CYCLE, ResetType.GRACEFUL_RESTART),
    ResetType.POWER_CYCLE: (ResetType.FORCE_RESTART,),
}


async def get(pool: RedfishPool, target: Target) -> Resource:
    """The ComputerSystem resource as the service gives it."""
    known = target.system_id is not None
    try:
        return await pool.get(target, await pool.system_path(target))
    except errors.NotFound:
        if known or not pool.forget_system(target):
            raise
    return await pool.get(target, await pool.system_path(target))  # its path changed, after a firmware update


async def power_state(pool: RedfishPool, target: Target) -> PowerState:
    """The power state. Raises what ``RedfishPool.get`` raises."""
    value = (await get(pool, target)).get("PowerState")
    try:
        return PowerState(cast("str", value))
    except ValueError:
        raise errors.Misbehaved(f"{target.name} gives the power state {value!r}.") from None


async def reset(pool: RedfishPool, target: Target, wanted: ResetType) -> ResetType:
    """Ask for a reset; gives the type really sent. Returns when the BMC has accepted it, not when it is done.

    Raises ``errors.NotSupported`` when neither ``wanted`` nor a substitute is allowed.
    """
    system = await get(pool, target)
    action = part(system, "Actions", "#ComputerSystem.Reset")
    path = text(action, "target")
    if path is None:
        raise errors.NotSupported(f"{target.name} has no reset action.")
    allowed = strings(action, "ResetType@Redfish.AllowableValues") or await _action_info(pool, target, action)
    chosen = _choose(target, wanted, allowed)
    await tasks.run(pool, target, path, {"ResetType": str(chosen)})
    return chosen


async def _action_info(pool: RedfishPool, target: Target, action: Resource) -> list[str]:
    path = text(action, "@Redfish.ActionInfo")
    if path is None:
        return []
    for parameter in items(await pool.get(target, path), "Parameters"):
        if parameter.get("Name") == "ResetType":
            return strings(parameter, "AllowableValues")
    return []


def _choose(target: Target, wanted: ResetType, allowed: list[str]) -> ResetType:
    """``wanted`` or the first allowed substitute; a service that lists nothing is trusted with ``wanted``."""
    if not allowed:
        return wanted
    for candidate in (wanted, *SUBSTITUTES.get(wanted, ())):
        if candidate in allowed:
            return candidate
    raise errors.NotSupported(
        f"{target.name} cannot do the reset {wanted}; it offers {', '.join(allowed)}.",
        hint="Choose another power action.",
    )


class BootTarget(StrEnum):
    """BootSourceOverrideTarget values that we set; a BMC may report others."""

    NONE = "None"
    PXE = "Pxe"
    HDD = "Hdd"
    CD = "Cd"
    USB_CD = "UsbCd"
    BIOS_SETUP = "BiosSetup"
    UEFI_HTTP = "UefiHttp"


class BootEnabled(StrEnum):
    """How long an override lasts."""

    ONCE = "Once"
    CONTINUOUS = "Continuous"
    DISABLED = "Disabled"


class BootMode(StrEnum):
    """Firmware mode of an override."""

    UEFI = "UEFI"
    LEGACY = "Legacy"


class Boot(msgspec.Struct, frozen=True):
    """The boot override. In ``set_boot`` None leaves a field as it is; in ``get_boot`` None means not told.

    ``target`` is a plain string when read, because BMCs report targets beyond ours; ``http_uri``: what UEFI HTTP boot
    shall fetch, in ``set_boot`` None for the URL that DHCP gives.
    """

    target: str | None = None
    enabled: BootEnabled | None = None
    mode: BootMode | None = None
    http_uri: str | None = None


async def get_boot(pool: RedfishPool, target: Target) -> Boot:
    """The boot override the service holds; ``mode`` is the boot mode."""
    boot = part(await get(pool, target), "Boot")
    enabled = boot.get("BootSourceOverrideEnabled")
    mode = boot.get("BootSourceOverrideMode")
    return Boot(
        text(boot, "BootSourceOverrideTarget"),
        BootEnabled(enabled) if enabled in list(BootEnabled) else None,
        BootMode(mode) if mode in list(BootMode) else None,
        text(boot, "HttpBootUri"),
    )


async def set_boot(pool: RedfishPool, target: Target, wanted: Boot) -> None:
    """Change the boot override, each field at the settings resource where that has it, else at the system.

    iDRACs have the mode alone in their settings, Lenovo's and Nokia's none or all (sushy's recorded bodies). Raises
    ``errors.NotSupported`` for a target that the service does not allow, and for a URL where it takes none.
    """
    path = await pool.system_path(target)
    system, etag = await pool.get_with_etag(target, path)
    boot = part(system, "Boot")
    quirk = quirks.find(system.get("Manufacturer"))
    settings = link(part(system, "@Redfish.Settings"), "SettingsObject")
    pending, pending_etag = await pool.get_with_etag(target, settings) if settings else ({}, None)
    later = part(pending, "Boot")
    change = _change(target, wanted, boot, quirk)
    change |= _uri_change(target, wanted, {name: value for name, value in {**boot, **later}.items() if name == _URI})
    in_settings = {name: value for name, value in change.items() if name in later}
    at_once = {name: value for name, value in change.items() if name not in later}
    if settings and in_settings:
        await pool.patch(target, settings, {"Boot": in_settings}, pending_etag)
    if at_once:
        await pool.patch(target, path, {"Boot": at_once}, etag)
        if settings is None and not quirk.boot_unread:
            await _check_boot(pool, target, path, change)


async def _check_boot(pool: RedfishPool, target: Target, path: str, change: Resource) -> None:
    """Read the override until it is as ordered: some services accept one and drop it. Raises ``errors.Misbehaved``."""
    if change.get("BootSourceOverrideEnabled") == BootEnabled.DISABLED:
        return
    wanted = {name: value for name, value in change.items() if value and name in ("BootSourceOverrideTarget", _URI)}
    told: list[str] = []
    for pause in (0.0, *CHECK_PAUSES) if wanted else ():
        await asyncio.sleep(pause)
        boot = part(await pool.get(target, path), "Boot")
        told = [_told(name, boot) for name, value in wanted.items() if not _is_held(name, boot, value)]
        if not told:
            return
    if told:
        raise errors.Misbehaved(
            f"{target.name} accepted booting from {wanted.get('BootSourceOverrideTarget')}, "
            f"but {sum(CHECK_PAUSES):.0f} s later {' and '.join(told)}.",
            hint="Update the BMC's firmware, or reset the BMC; until then set the boot order at the machine.",
        )


def _told(name: str, boot: Resource) -> str:
    """What a service holds that was not ordered; a URL is not shown, for it has a pass in it."""
    if name == _URI:
        return "it holds another URL" if text(boot, _URI) else "it holds no URL"
    return f"its override is {text(boot, name)}"


def _is_held(name: str, boot: Resource, wanted: object) -> bool:
    """Whether the service holds what was ordered. One that tells no target is believed; Cd and UsbCd are one."""
    told = text(boot, name)
    silent = told is None and name != _URI
    return silent or told == wanted or {told, wanted} == {BootTarget.CD, BootTarget.USB_CD}


def _uri_change(target: Target, wanted: Boot, boot: Resource) -> Resource:
    """HttpBootUri as wanted; one of an earlier boot is taken back. Source: DSP0268 ComputerSystem, HttpBootUri."""
    if wanted.http_uri is None:
        return {_URI: None} if wanted.target and text(boot, _URI) else {}
    if _URI not in boot:
        raise errors.NotSupported(
            f"{target.name} takes no URL to boot from (it has no {_URI}).", hint="Use boot interface http or ipxe."
        )
    return {_URI: wanted.http_uri}


def _change(target: Target, wanted: Boot, boot: Resource, quirk: quirks.Quirks) -> Resource:
    device: str | None = wanted.target
    allowed = strings(boot, "BootSourceOverrideTarget@Redfish.AllowableValues")
    if device == BootTarget.CD and quirk.usb_cd and BootTarget.USB_CD in allowed:
        device = BootTarget.USB_CD
    if device is not None and allowed and device not in allowed:
        raise errors.NotSupported(
            f"{target.name} cannot boot from {device}; it offers {', '.join(allowed)}.",
            hint="Choose another boot device.",
        )
    fields = {
        "BootSourceOverrideTarget": device,
        "BootSourceOverrideEnabled": wanted.enabled,
        "BootSourceOverrideMode": wanted.mode,
    }
    if quirk.whole_boot:
        fields = {name: value or text(boot, name) for name, value in fields.items()}
    return {name: str(value) for name, value in fields.items() if value is not None}
