"""The computer system: power, boot override, boot mode, indicator.

May not: reach a socket. Invariant: a refused request has changed nothing.
"""

from __future__ import annotations

from typing import cast

from aiohttp import web

from ingot_rack import errors
from ingot_rack.hardware import BootDevice, BootMode, BootOverride, PowerAction, PowerState, Processor
from ingot_rack.redfish import updates
from ingot_rack.redfish.tree import CHASSIS, MANAGER, OK, ROOT, SYSTEM, Front, link, missing, resource
from ingot_rack.redfish.views import Views, action, listed, shown
from ingot_rack.redfish.wire import Json, Refused, answer, check_match, read

RESET_TYPES = (
    "On",
    "ForceOff",
    "GracefulShutdown",
    "GracefulRestart",
    "ForceRestart",
    "Nmi",
    "ForceOn",
    "PushPowerButton",
    "PowerCycle",
)
TARGETS = {
    BootDevice.NONE: "None",
    BootDevice.NETWORK: "Pxe",
    BootDevice.DISK: "Hdd",
    BootDevice.CD: "Cd",
    BootDevice.SETUP: "BiosSetup",
    BootDevice.HTTP: "UefiHttp",
}
MODES = {BootMode.BIOS: "Legacy", BootMode.UEFI: "UEFI"}
_SIMPLE = {
    "On": PowerAction.ON,
    "ForceOn": PowerAction.ON,
    "ForceOff": PowerAction.OFF,
    "GracefulShutdown": PowerAction.SOFT_OFF,
    "GracefulRestart": PowerAction.RESET,
    "ForceRestart": PowerAction.RESET,
    "Nmi": PowerAction.NMI,
    "PowerCycle": PowerAction.CYCLE,
}


def system(front: Front) -> Json:
    """The computer system."""
    facts = front.bmc.hardware.facts
    return resource(
        SYSTEM,
        "ComputerSystem.v1_13_0.ComputerSystem",
        facts.name,
        UUID=facts.uuid,
        SystemType="Physical",
        Manufacturer=front.manufacturer,
        Model=facts.product,
        SerialNumber=facts.serial_number,
        BiosVersion=front.part(updates.Versions).read("BIOS") if front.used(updates.Versions) else "1.0",
        HostName="",
        PowerState=_power(front),
        Status=OK,
        Boot=boot(front),
        ProcessorSummary={
            "Count": facts.vcpus,
            "LogicalProcessorCount": facts.vcpus,
            "Model": facts.processor,
            "Status": OK,
        },
        MemorySummary={"TotalSystemMemoryGiB": facts.memory_mb / 1024, "Status": OK},
        IndicatorLED=front.part(Lamp).state,
        **{name: link(f"{SYSTEM}/{name}") for name in _parts(front)},
        Links={"Chassis": [link(CHASSIS)], "ManagedBy": [link(MANAGER)]},
        Actions={"#ComputerSystem.Reset": _reset_action(front)},
    )


def _parts(front: Front) -> list[str]:
    found = ["Bios", "Processors", "Memory", "EthernetInterfaces", "SimpleStorage", "Storage"]
    found += ["VirtualMedia"] if "System" in front.shape.media else []
    return found + (["SecureBoot"] if front.bmc.hardware.facts.firmware is BootMode.UEFI else [])


def _reset_action(front: Front) -> Json:
    path = f"{SYSTEM}/Actions/ComputerSystem.Reset"
    if front.shape.action_info:
        return {"target": path, "@Redfish.ActionInfo": f"{SYSTEM}/ResetActionInfo"}
    return {"target": path, "ResetType@Redfish.AllowableValues": list(RESET_TYPES)}


def reset_info(front: Front) -> Json:
    """Which reset types there are, where the action itself does not list them."""
    if not front.shape.action_info:
        raise missing(f"{SYSTEM}/ResetActionInfo")
    parameter = {"Name": "ResetType", "Required": True, "DataType": "String", "AllowableValues": list(RESET_TYPES)}
    return resource(
        f"{SYSTEM}/ResetActionInfo", "ActionInfo.v1_2_0.ActionInfo", "Reset Action Info", Parameters=[parameter]
    )


class Lamp:
    """The lamp by which a machine is found in its row."""

    states = ("Off", "Lit", "Blinking")

    def __init__(self, front: Front) -> None:
        del front
        self.state = "Off"

    def set(self, value: object) -> None:
        """Switch it; raises Refused."""
        if value not in self.states:
            raise Refused(400, "PropertyValueNotInList", str(value), "IndicatorLED")
        self.state = str(value)


class Firmware:
    """The boot mode in force, and one that takes force at the machine's next start; only for shapes with both."""

    def __init__(self, front: Front) -> None:
        self._bmc = front.bmc
        self._mode = front.bmc.hardware.facts.firmware
        self._wanted: tuple[BootMode, int] | None = None

    @property
    def mode(self) -> BootMode:
        """The mode of the machine's last start."""
        if self._wanted and self._bmc.starts > self._wanted[1]:
            self._mode, self._wanted = self._wanted[0], None
        return self._mode

    def change(self, mode: BootMode) -> None:
        """Start in this mode from the next start on."""
        self._wanted = None if mode is self.mode else (mode, self._bmc.starts)


def _power(front: Front) -> str:
    on = front.bmc.says_power() is PowerState.ON
    if front.bmc.in_transition:
        return "PoweringOff" if on else "PoweringOn"
    return "On" if on else "Off"


def _http_boot(front: Front) -> str:
    """How this machine can be told to boot over HTTP (shapes.py)."""
    facts = front.bmc.hardware.facts
    if facts.firmware is not BootMode.UEFI:
        return ""
    if front.shape.http_boot and facts.processor is Processor.AARCH64:
        return "dhcp"  # its firmware keeps its variables where efivars.py cannot write them
    return front.shape.http_boot


def boot(front: Front) -> Json:
    """The Boot object of the system."""
    override = front.bmc.boot
    enabled = "Disabled"
    if override.device is not BootDevice.NONE:
        enabled = "Continuous" if override.persistent else "Once"
    mode = MODES[front.part(Firmware).mode]
    target = TARGETS[override.device]
    targets = [*TARGETS.values(), "UsbCd"] if front.shape.usb_cd else list(TARGETS.values())
    http = _http_boot(front)
    if not http:
        targets.remove("UefiHttp")
    return {
        **({"HttpBootUri": override.http_uri or None} if http == "uri" else {}),
        "BootSourceOverrideEnabled": enabled,
        "BootSourceOverrideEnabled@Redfish.AllowableValues": ["Disabled", "Once", "Continuous"],
        "BootSourceOverrideTarget": "UsbCd" if front.shape.usb_cd and target == "Cd" else target,
        "BootSourceOverrideTarget@Redfish.AllowableValues": targets,
        "BootSourceOverrideMode": mode,
        "BootSourceOverrideMode@Redfish.AllowableValues": list(MODES.values()) if front.shape.both_modes else [mode],
    }


async def reset(front: Front, body: Json) -> None:
    """ComputerSystem.Reset; raises Refused 409 when the power state forbids it."""
    wanted = body.get("ResetType")
    if wanted is None:
        raise Refused(400, "ActionParameterMissing", "ComputerSystem.Reset", "ResetType")
    on = front.bmc.hardware.power is PowerState.ON
    if wanted == "PushPowerButton":
        order = PowerAction.SOFT_OFF if on else PowerAction.ON
    elif isinstance(wanted, str) and wanted in _SIMPLE:
        order = _SIMPLE[wanted]
    else:
        raise Refused(400, "ActionParameterValueNotInList", str(wanted), "ResetType", "ComputerSystem.Reset")
    try:
        await front.bmc.power(order)
    except errors.NotNow as error:
        raise Refused(409, "InvalidOperationForSystemState") from error
    except errors.RackError as error:
        raise Refused(500, "InternalError") from error


async def change(front: Front, body: Json) -> None:
    """PATCH of the system: the boot override and the lamp may change; raises Refused."""
    for name in body:
        if name not in {"Boot", "IndicatorLED"}:
            raise Refused(400, "PropertyNotWritable" if name in system(front) else "PropertyUnknown", name)
    given = body.get("Boot", {})
    if not isinstance(given, dict):
        raise Refused(400, "PropertyValueTypeError", str(given), "Boot")
    wanted = cast("Json", given)
    override = _override(front, wanted)
    if "IndicatorLED" in body:
        front.part(Lamp).set(body["IndicatorLED"])
    if "Boot" in body:
        mode = {name: mode for mode, name in MODES.items()}.get(str(wanted.get("BootSourceOverrideMode")))
        if mode:
            front.part(Firmware).change(mode)
        await front.bmc.set_boot(override)


def _override(front: Front, wanted: Json) -> BootOverride:
    """The override a Boot object asks for; members not given keep their value."""
    present = boot(front)
    for name, value in wanted.items():
        if name.endswith("@Redfish.AllowableValues"):
            continue
        if name == "HttpBootUri" and name in present:
            _check_uri(value)
            continue
        allowed = present.get(f"{name}@Redfish.AllowableValues")
        if not isinstance(allowed, list):
            raise Refused(400, "PropertyUnknown", name)
        if value not in allowed:
            raise Refused(400, "PropertyValueNotInList", str(value), name)
    settable = {name for name in present if "@" not in name and name != "HttpBootUri"}
    if wanted and front.shape.whole_boot and not settable <= set(wanted):
        raise Refused(400, "PropertyMissing", ", ".join(sorted(settable - set(wanted))))
    return _merged(front, present, wanted)


def _merged(front: Front, present: Json, wanted: Json) -> BootOverride:
    merged = {**present, **wanted}
    enabled = merged["BootSourceOverrideEnabled"]
    target = str(merged["BootSourceOverrideTarget"])
    devices = {name: device for device, name in TARGETS.items()} | {"UsbCd": BootDevice.CD}
    device = BootDevice.NONE if front.shape.usb_cd and target == "Cd" else devices[target]
    if enabled == "Disabled" and "BootSourceOverrideEnabled" not in wanted and device is not BootDevice.NONE:
        enabled = "Once"  # DSP0268: a target alone applies to the next boot
    if enabled == "Disabled" or device is BootDevice.NONE:
        return BootOverride()
    uri = str(merged.get("HttpBootUri") or "") if device is BootDevice.HTTP else ""
    return BootOverride(device, persistent=enabled == "Continuous", mode=front.part(Firmware).mode, http_uri=uri)


def _check_uri(value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise Refused(400, "PropertyValueTypeError", str(value), "HttpBootUri")
    if value and not value.startswith(("http://", "https://")):
        raise Refused(400, "PropertyValueFormatError", value, "HttpBootUri")


async def _patch(request: web.Request, front: Front) -> web.StreamResponse:
    check_match(request, system(front))
    await change(front, await read(request))
    return answer(system(front))


def routes() -> dict[str, Views]:
    """Path -> views."""
    return {
        f"{ROOT}/Systems": listed(f"{ROOT}/Systems", "ComputerSystem", "1"),
        SYSTEM: {**shown(system), "PATCH": _patch},
        f"{SYSTEM}/ResetActionInfo": shown(reset_info),
        f"{SYSTEM}/Actions/ComputerSystem.Reset": action(reset),
    }
