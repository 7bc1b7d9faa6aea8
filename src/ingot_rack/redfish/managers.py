"""The BMC itself with its clock, and the case it sits in, with its lamp.

May not: know a sensor or a log beyond their links. Invariant: a clock that ticks does not change the BMC's ETag.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone

from aiohttp import web

from ingot_rack.hardware import PowerState
from ingot_rack.redfish import eventlog, sensing, updates
from ingot_rack.redfish.computer import Lamp
from ingot_rack.redfish.tree import CHASSIS, MANAGER, OK, ROOT, SYSTEM, Front, link, resource
from ingot_rack.redfish.views import Views, listed, shown
from ingot_rack.redfish.wire import Json, Refused, answer, check_match, etag, read


class Clock:
    """How far the BMC's clock is from ours, in seconds, and the zone it shows the time in."""

    def __init__(self, front: Front) -> None:
        self._faults = front.bmc.faults
        self.ahead = 0.0
        self.zone = "+00:00"

    def shown(self) -> str:
        """The time in whole seconds, as BMCs tell it."""
        sign = -1 if self.zone[0] == "-" else 1
        hours, minutes = int(self.zone[1:3]), int(self.zone[4:])
        zone = timezone(sign * timedelta(hours=hours, minutes=minutes))
        return datetime.fromtimestamp(time.time() + self.ahead, UTC).astimezone(zone).isoformat(timespec="seconds")

    def change(self, body: Json) -> None:
        """Set time and zone; raises Refused."""
        zone = body.get("DateTimeLocalOffset", self.zone)
        if not isinstance(zone, str) or not re.fullmatch(r"[+-]\d\d:\d\d", zone):
            raise Refused(400, "PropertyValueFormatError", str(zone), "DateTimeLocalOffset")
        told = str(body.get("DateTime", self.shown()))
        try:
            at = datetime.fromisoformat(told)
        except ValueError as error:
            raise Refused(400, "PropertyValueFormatError", told, "DateTime") from error
        if at.tzinfo is None or at.microsecond:
            raise Refused(400, "PropertyValueFormatError", told, "DateTime")
        if not self._faults.clock_kept:
            self.ahead, self.zone = at.timestamp() - time.time(), zone


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
        DateTime=front.part(Clock).shown(),
        DateTimeLocalOffset=front.part(Clock).zone,
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


def _tag(front: Front) -> str:
    return etag({**manager(front), "DateTime": None})


async def _show_manager(request: web.Request, front: Front) -> web.StreamResponse:
    if request.headers.get("If-None-Match") == _tag(front):
        return web.Response(status=304, headers={"ETag": _tag(front)})
    return answer(manager(front), headers={"ETag": _tag(front)})


async def _patch_manager(request: web.Request, front: Front) -> web.StreamResponse:
    check_match(request, {**manager(front), "DateTime": None})
    body = await read(request)
    for name in set(body) - {"DateTime", "DateTimeLocalOffset"}:
        raise Refused(400, "PropertyNotWritable" if name in manager(front) else "PropertyUnknown", name)
    front.part(Clock).change(body)
    return await _show_manager(request, front)


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
        MANAGER: {"GET": _show_manager, "PATCH": _patch_manager},
        CHASSIS: {**shown(chassis), "PATCH": _patch_chassis},
    }
