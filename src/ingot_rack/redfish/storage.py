"""Storage: one RAID controller with the machine's disks, and volumes made of them.

Invariant: a disk's bytes are given away once; volumes of a shape with `volumes_on_reset` come and go at a start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import cast

from aiohttp import web

from ingot_rack.redfish import tasks
from ingot_rack.redfish.tree import OK, SYSTEM, Front, collection, link, missing, resource
from ingot_rack.redfish.views import Views, listed, shown
from ingot_rack.redfish.wire import Json, Refused, answer, check_match, no_content, read

STORAGE = f"{SYSTEM}/Storage"
CONTROLLER = f"{STORAGE}/RAID1"
VOLUMES = f"{CONTROLLER}/Volumes"
_DRIVES = f"{CONTROLLER}/Drives"
_TYPES = {"None": 1, "RAID0": 1, "RAID1": 2, "RAID5": 3, "RAID6": 4, "RAID10": 4}
"""RAID type -> least number of disks."""


@dataclasses.dataclass
class Volume:
    """A volume; size in bytes; ``drives``: numbers of its disks."""

    number: str
    name: str
    kind: str
    size: int
    drives: tuple[int, ...]


def usable(kind: str, drives: int, each: int) -> int:
    """How many bytes a volume over that many disks can have when each gives ``each``."""
    data = {"RAID1": 1, "RAID5": drives - 1, "RAID6": drives - 2, "RAID10": drives // 2}.get(kind, drives)
    return data * each


class State:
    """Volumes and lamps of one controller."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self.volumes: dict[str, Volume] = {}
        self._coming: list[tuple[tasks.Task, Volume]] = []
        self._count = 0
        self.lamps = ["Off"] * len(front.bmc.hardware.facts.disks)

    def free(self, drive: int) -> int:
        """Bytes of a disk that no volume has, nor will have once its task is done."""
        disk = self._front.bmc.hardware.facts.disks[drive]
        self._coming = [(task, one) for task, one in self._coming if task.state in {"Running", "Pending"}]
        all_of_them = [*self.volumes.values(), *(one for _, one in self._coming)]
        there = [one for one in all_of_them if drive in one.drives]
        return disk.size - sum(one.size // usable(one.kind, len(one.drives), 1) for one in there)

    def order(self, kind: str, size: int | None, drives: tuple[int, ...], name: str) -> tasks.Task:
        """Begin to make a volume; raises Refused when it cannot be."""
        least = _TYPES.get(kind)
        if least is None:
            raise Refused(400, "PropertyValueNotInList", kind, "RAIDType")
        if len(drives) < least:
            raise Refused(400, "PropertyMissing", "Links/Drives")
        most = usable(kind, len(drives), min(self.free(drive) for drive in drives))
        if most <= 0 or not 0 <= (size or 0) <= most:
            raise Refused(400, "PropertyValueNotInList", str(size), "CapacityBytes")
        self._count += 1
        volume = Volume(str(self._count), name or f"Volume {self._count}", kind, size or most, drives)

        def effect() -> None:
            self.volumes[volume.number] = volume

        task = self._begin(f"Creation of {volume.name}", effect)
        self._coming.append((task, volume))
        return task

    def drop(self, number: str) -> tasks.Task:
        """Begin to delete a volume."""

        def effect() -> None:
            self.volumes.pop(number, None)

        return self._begin(f"Deletion of volume {number}", effect)

    def _begin(self, name: str, effect: Callable[[], None]) -> tasks.Task:
        work = self._front.part(tasks.Tasks)
        return work.begin(name, effect, after_start=self._front.shape.volumes_on_reset)


def controller(front: Front) -> Json:
    """The controller with its disks."""
    count = len(front.bmc.hardware.facts.disks)
    raid = {
        "@odata.id": f"{CONTROLLER}#/StorageControllers/0",
        "MemberId": "0",
        "Name": "Ingot RAID",
        "SupportedRAIDTypes": [kind for kind in _TYPES if kind != "None"],
        "Status": OK,
    }
    return resource(
        CONTROLLER,
        "Storage.v1_10_0.Storage",
        "RAID Controller",
        StorageControllers=[raid],
        Drives=[link(f"{_DRIVES}/{number + 1}") for number in range(count)],
        Volumes=link(VOLUMES),
        Status=OK,
        **{"Drives@odata.count": count},
    )


def drive(front: Front, index: int) -> Json:
    """One disk."""
    disk = front.bmc.hardware.facts.disks[index]
    protocol, media = {"nvme": ("NVMe", "SSD"), "ahci": ("SATA", "SSD")}.get(disk.bus, ("SAS", "HDD"))
    state = front.part(State)
    members = [link(f"{VOLUMES}/{one.number}") for one in state.volumes.values() if index in one.drives]
    return resource(
        f"{_DRIVES}/{index + 1}",
        "Drive.v1_11_0.Drive",
        f"Disk {index + 1}",
        SerialNumber=disk.serial,
        Model=f"QEMU {disk.bus}",
        Manufacturer="QEMU",
        CapacityBytes=disk.size,
        Protocol=protocol,
        MediaType=media,
        IndicatorLED=state.lamps[index],
        Links={"Volumes": members},
        Status=OK,
    )


def volume(front: Front, number: str) -> Json:
    """One volume."""
    front.part(tasks.Tasks).settle()
    found = front.part(State).volumes.get(number)
    if found is None:
        raise missing(f"{VOLUMES}/{number}")
    return resource(
        f"{VOLUMES}/{number}",
        "Volume.v1_6_0.Volume",
        found.name,
        RAIDType=found.kind,
        CapacityBytes=found.size,
        Identifiers=[{"DurableName": f"6000c29{int(number):09x}", "DurableNameFormat": "NAA"}],
        Links={"Drives": [link(f"{_DRIVES}/{one + 1}") for one in found.drives]},
        Status=OK,
    )


def _list(front: Front) -> Json:
    front.part(tasks.Tasks).settle()
    times = ["OnReset"] if front.shape.volumes_on_reset else ["Immediate", "OnReset"]
    support = {"@odata.type": "#Settings.v1_3_0.OperationApplyTimeSupport", "SupportedValues": times}
    members = [f"{VOLUMES}/{number}" for number in front.part(State).volumes]
    return {**collection(VOLUMES, "Volume", members), "@Redfish.OperationApplyTimeSupport": support}


async def _create(request: web.Request, front: Front) -> web.StreamResponse:
    body = await read(request)
    links = cast("Json", body.get("Links") or {})
    known = {f"{_DRIVES}/{number + 1}": number for number in range(len(front.bmc.hardware.facts.disks))}
    chosen = [known.get(str(one.get("@odata.id"))) for one in cast("list[Json]", links.get("Drives") or [])]
    if None in chosen or len(set(chosen)) < len(chosen):
        raise Refused(400, "PropertyValueNotInList", "Links/Drives", "Drives")
    _check_time(front, body)
    size = body.get("CapacityBytes")
    task = front.part(State).order(
        str(body.get("RAIDType")),
        size if isinstance(size, int) else None,
        tuple(one for one in chosen if one is not None),
        str(body.get("Name") or ""),
    )
    if task.state != "Completed":
        return tasks.accepted(task)
    number = next(reversed(front.part(State).volumes))
    return answer(volume(front, number), status=201, headers={"Location": f"{VOLUMES}/{number}"})


def _check_time(front: Front, body: Json) -> None:
    wanted = body.get("@Redfish.OperationApplyTime", "OnReset")
    if wanted != "OnReset" and front.shape.volumes_on_reset:
        raise Refused(400, "PropertyValueNotInList", str(wanted), "@Redfish.OperationApplyTime")


def numbered(path: str, front: Front) -> Views | None:
    """The views of one drive or volume, None for any other path."""
    folder, _, number = path.rpartition("/")
    if folder == VOLUMES:
        return _volume_views(number)
    if folder == _DRIVES and number.isdecimal() and 0 < int(number) <= len(front.bmc.hardware.facts.disks):
        return _drive_views(int(number) - 1)
    return None


def _volume_views(number: str) -> Views:
    async def deleting(request: web.Request, front: Front) -> web.StreamResponse:
        volume(front, number)
        body = await read(request)
        _check_time(front, body)
        task = front.part(State).drop(number)
        return no_content() if task.state == "Completed" else tasks.accepted(task)

    return {**shown(lambda front: volume(front, number)), "DELETE": deleting}


def _drive_views(index: int) -> Views:
    async def patching(request: web.Request, front: Front) -> web.StreamResponse:
        check_match(request, drive(front, index))
        wanted = (await read(request)).get("IndicatorLED")
        if wanted not in {"Off", "Lit", "Blinking"}:
            raise Refused(400, "PropertyValueNotInList", str(wanted), "IndicatorLED")
        front.part(State).lamps[index] = str(wanted)
        return no_content()

    return {**shown(lambda front: drive(front, index)), "PATCH": patching}


def routes() -> dict[str, Views]:
    """Path -> views."""
    return {
        STORAGE: listed(STORAGE, "Storage", "RAID1"),
        CONTROLLER: shown(controller),
        VOLUMES: {**shown(_list), "POST": _create},
    }
