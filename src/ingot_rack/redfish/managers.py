"""The BMC itself and the case it sits in, with its lamp. May not: know a sensor or a log beyond their links."""

from __future__ import annotations

from aiohttp import web

from ingot_rack.hardware import PowerState
from ingot_rack.redfish import eventlog, sensing, updates
from ingot_rack.redfish.computer import Lamp
from ingot_rack.redfish.tree import CHASSIS, MANAGER, OK, ROOT, SYSTEM, Front, link, resource
from ingot_rack.redfish.views import Views, listed, shown
from ingot_rack.redfish.wire import Json, Refused, answer, check_match, read


def manager(front: Front) -> Json:
    """The BMC itself."""
    facts = front.bmc.hardware.facts
    return resource(
        MANAGER,
        "Manager.v1_11_0.Manager",
        f"BMC of {facts.name}",
        ManagerType="BMC",
        UUID=facts.uuid,
        FirmwareVersion=front.part(updates.Versions).read("BMC"),
        PowerState="On",
        Status=OK,
        **({"VirtualMedia": link(f"{MANAGER}/VirtualMedia")} if "Manager" in front.shape.media else {}),
        LogServices=link(eventlog.SERVICES),
        Links={"ManagerForServers": [link(SYSTEM)], "ManagerForChassis": [link(CHASSIS)]},
    )


def chassis(front: Front) -> Json:
    """The case."""
    facts = front.bmc.hardware.facts
    return resource(
        CHASSIS,
        "Chassis.v1_14_0.Chassis",
        f"Chassis of {facts.name}",
        ChassisType="RackMount",
        Manufacturer=front.manufacturer,
        Model=facts.product,
        SerialNumber=facts.serial_number,
        PowerState="On" if front.bmc.says_power() is PowerState.ON else "Off",
        Status=OK,
        IndicatorLED=front.part(Lamp).state,
        NetworkAdapters=link(f"{CHASSIS}/NetworkAdapters"),
        **sensing.links(front),
        Links={"ComputerSystems": [link(SYSTEM)], "ManagedBy": [link(MANAGER)]},
    )


async def _patch_chassis(request: web.Request, front: Front) -> web.StreamResponse:
    check_match(request, chassis(front))
    for name, value in (await read(request)).items():
        if name != "IndicatorLED":
            raise Refused(400, "PropertyNotWritable" if name in chassis(front) else "PropertyUnknown", name)
        front.part(Lamp).set(value)
    return answer(chassis(front))


def routes() -> dict[str, Views]:
    """Path -> views."""
    return {
        f"{ROOT}/Managers": listed(f"{ROOT}/Managers", "Manager", "1"),
        f"{ROOT}/Chassis": listed(f"{ROOT}/Chassis", "Chassis", "1"),
        MANAGER: shown(manager),
        CHASSIS: {**shown(chassis), "PATCH": _patch_chassis},
    }
