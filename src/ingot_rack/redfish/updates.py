"""Firmware: versions, updates by SimpleUpdate or by a multipart push, and a BMC that restarts after its own.

Invariant: the name of an image's file is the version it installs; BIOS and NIC images take force at a start.
"""

from __future__ import annotations

import time
from typing import cast

from aiohttp import BodyPartReader, web

from ingot_rack.redfish import tasks
from ingot_rack.redfish.tree import CHASSIS, MANAGER, OK, ROOT, SYSTEM, Front, link, missing, resource
from ingot_rack.redfish.views import Views, listed, shown
from ingot_rack.redfish.wire import Json, Refused, read

SERVICE = f"{ROOT}/UpdateService"
INVENTORY = f"{SERVICE}/FirmwareInventory"
SIMPLE = f"{SERVICE}/Actions/UpdateService.SimpleUpdate"
PUSH = f"{SERVICE}/update-multipart"
ADAPTER = f"{CHASSIS}/NetworkAdapters/NIC1"
RELATED = {"BIOS": f"{SYSTEM}/Bios", "BMC": MANAGER, "NIC1": ADAPTER}
_PROTOCOLS = ["HTTP", "HTTPS"]


class Versions:
    """What is installed: component -> version; how many bytes were pushed last; the time the BMC is back."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self.now = {"BIOS": "1.0", "BMC": "1.0", "NIC1": "22.5"}
        self.pushed = 0
        self.back_at = 0.0

    def read(self, component: str) -> str:
        """The version of a component."""
        self._front.part(tasks.Tasks).settle()
        return self.now[component]

    def begin(self, component: str, version: str) -> tasks.Task:
        """Begin to install."""

        def effect() -> None:
            self.now[component] = version
            if component == "BMC":
                self.back_at = time.monotonic() + self._front.bmc.faults.bmc_restart_seconds

        after_start = component != "BMC"
        return self._front.part(tasks.Tasks).begin(f"Update of {component}", effect, after_start=after_start)


def service(front: Front) -> Json:
    """The update service."""
    pushing = {"MultipartHttpPushUri": PUSH} if front.shape.update_by == "push" else {}
    simple = {"#UpdateService.SimpleUpdate": {"target": SIMPLE, "TransferProtocol@Redfish.AllowableValues": _PROTOCOLS}}
    return resource(
        SERVICE,
        "UpdateService.v1_8_0.UpdateService",
        "Update Service",
        ServiceEnabled=True,
        Status=OK,
        FirmwareInventory=link(INVENTORY),
        Actions={} if pushing else simple,
        **pushing,
    )


def item(front: Front, component: str) -> Json:
    """One line of the inventory."""
    return resource(
        f"{INVENTORY}/{component}",
        "SoftwareInventory.v1_3_0.SoftwareInventory",
        f"{component} firmware",
        Version=front.part(Versions).read(component),
        Updateable=True,
        RelatedItem=[link(RELATED[component])],
        Status=OK,
    )


def adapter(front: Front) -> Json:
    """The network card as an adapter with firmware."""
    return resource(
        ADAPTER,
        "NetworkAdapter.v1_5_0.NetworkAdapter",
        "Network Adapter",
        Manufacturer="Ingot",
        Model="Virtio 1",
        SerialNumber="NIC-SN-1",
        Controllers=[{"FirmwarePackageVersion": front.part(Versions).read("NIC1")}],
        Status=OK,
    )


async def _simple(request: web.Request, front: Front) -> web.StreamResponse:
    if front.shape.update_by != "simple":
        raise missing(SIMPLE)
    body = await read(request)
    image = body.get("ImageURI")
    if not isinstance(image, str) or "://" not in image:
        raise Refused(400, "ActionParameterMissing", "UpdateService.SimpleUpdate", "ImageURI")
    if body.get("TransferProtocol", "HTTP") not in _PROTOCOLS:
        raise Refused(400, "ActionParameterValueNotInList", "TransferProtocol", "TransferProtocol", "SimpleUpdate")
    if "Targets" in body and not front.shape.update_targets:
        raise Refused(400, "ActionParameterNotSupported", "Targets", "UpdateService.SimpleUpdate")
    component = _component(body, image)
    return tasks.accepted(front.part(Versions).begin(component, image.rstrip("/").rpartition("/")[2]))


async def _push(request: web.Request, front: Front) -> web.StreamResponse:
    if front.shape.update_by != "push":
        raise missing(PUSH)
    body: Json = {}
    name, size = "", 0
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise Refused(400, "MalformedJSON")
        if part.name == "UpdateParameters":
            body = cast("Json", await part.json())
        elif part.name == "UpdateFile":
            name = part.filename or ""
            while chunk := await part.read_chunk(1 << 18):
                size += len(chunk)
    if not name or not size or "Targets" not in body:
        raise Refused(400, "ActionParameterMissing", "UpdateService.MultipartHttpPush", "UpdateFile")
    front.part(Versions).pushed = size
    return tasks.accepted(front.part(Versions).begin(_component(body, name), name))


def _component(body: Json, image: str) -> str:
    """What an image is for: its target, else what its name says."""
    targets = cast("list[str]", body.get("Targets") or [])
    for component in RELATED:
        if f"{INVENTORY}/{component}" in targets or (not targets and component.lower() in image.lower()):
            return component
    raise Refused(400, "PropertyValueNotInList", str(targets or image), "Targets")


def _item(component: str) -> Views:
    return shown(lambda front: item(front, component))


def routes() -> dict[str, Views]:
    """Path -> views."""
    adapters = f"{CHASSIS}/NetworkAdapters"
    table: dict[str, Views] = {
        SERVICE: shown(service),
        INVENTORY: listed(INVENTORY, "SoftwareInventory", *RELATED),
        adapters: listed(adapters, "NetworkAdapter", "NIC1"),
        ADAPTER: shown(adapter),
        SIMPLE: {"POST": _simple},
        PUSH: {"POST": _push},
    }
    return table | {f"{INVENTORY}/{one}": _item(one) for one in RELATED}
