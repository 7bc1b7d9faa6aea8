"""Firmware: what is installed, and installing.

Why: an image is fetched by the BMC (SimpleUpdate) or pushed to it (a multipart POST); the service says which.
May not: restart anything. Source: DSP0268 UpdateService; DSP0266 section "Software update types".
"""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from ingot.clients.http.client import Reply, Streamed
from ingot.clients.redfish import complaints, systems, tasks
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, items, link, links, part, text
from ingot.clients.redfish.target import Target
from ingot.domain import errors
from ingot.domain.firmware import Component

_PATIENT = (400, 409, 422)


class Service(msgspec.Struct, frozen=True):
    """The update service: ``simple``, ``push``: where each way is posted to, None where it is not offered."""

    simple: str | None
    push: str | None
    inventory: str | None


async def service(pool: RedfishPool, target: Target) -> Service:
    """How this BMC takes images. Raises ``errors.NotSupported`` when it takes none."""
    path = link(await pool.get(target, target.root), "UpdateService")
    resource = await pool.get(target, path) if path else {}
    simple = text(part(resource, "Actions", "#UpdateService.SimpleUpdate"), "target")
    push = text(resource, "MultipartHttpPushUri")
    if simple is None and push is None:
        raise errors.NotSupported(f"{target.name} takes no firmware updates.", hint="Check its licence and firmware.")
    return Service(simple, push, link(resource, "FirmwareInventory"))


async def list_components(pool: RedfishPool, target: Target) -> list[Component]:
    """ "bios", "bmc" and "nic:<id>" with their versions."""
    system = await systems.get(pool, target)
    found = [Component(component="bios", current_version=text(system, "BiosVersion"))]
    for path in links(part(system, "Links"), "ManagedBy")[:1]:
        found.append(Component(component="bmc", current_version=text(await pool.get(target, path), "FirmwareVersion")))
    for _, adapter in await _adapters(pool, target, system):
        versions = [text(one, "FirmwarePackageVersion") for one in items(adapter, "Controllers")]
        found.append(
            Component(
                component=f"nic:{text(adapter, 'Id')}",
                current_version=next((one for one in versions if one), None),
                vendor=text(adapter, "Manufacturer"),
                model=text(adapter, "Model"),
                serial_number=text(adapter, "SerialNumber"),
            )
        )
    return found


async def find_target(pool: RedfishPool, target: Target, component: str) -> str | None:
    """The line of the firmware inventory that is ``component``; None where the service does not relate them."""
    listing = (await service(pool, target)).inventory
    system = await systems.get(pool, target)
    place = await pool.system_path(target)
    wanted = {f"{place}/Bios", place, f"{place}/BIOS"} if component == "bios" else set[str]()
    if component == "bmc":
        wanted = set(links(part(system, "Links"), "ManagedBy"))
    if component.startswith("nic:"):
        adapters = await _adapters(pool, target, system)
        wanted = {path for path, one in adapters if text(one, "Id") == component.removeprefix("nic:")}
    for path, item in await pool.collect(target, listing):
        if wanted & set(links(item, "RelatedItem")):
            return path
    return None


async def fetch(pool: RedfishPool, target: Target, order: str, url: str, item: str | None) -> str | None:
    """Have the BMC fetch and install the image at ``url``; the task's monitor, None when it is installed already.

    ``order``: ``Service.simple``; ``item``: what it is for, named only where the BMC takes targets.
    """
    body: Resource = {"ImageURI": url, "TransferProtocol": urlsplit(url).scheme.upper()}
    targets: Resource = {"Targets": [item]} if item else {}
    reply = await pool.send(target, "POST", order, {**body, **targets}, accept=_PATIENT)
    if reply.status in _PATIENT and targets:
        reply = await pool.send(target, "POST", order, body, accept=_PATIENT)
    return _begun(reply, f"the update from {urlsplit(url).hostname}")


async def push(pool: RedfishPool, target: Target, order: str, file: Path, item: str | None) -> str | None:
    """Push the image in ``file`` to ``Service.push``; as ``fetch``. The file is streamed, whatever its size."""
    boundary = secrets.token_hex(16)
    parameters = msgspec.json.encode({"Targets": [item] if item else []})
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="UpdateParameters"\r\n'
        "Content-Type: application/json\r\n\r\n"
    ).encode()
    middle = (
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="UpdateFile"; filename="{file.name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    envelope = Streamed(head + parameters + middle, file, f"\r\n--{boundary}--\r\n".encode())
    reply = await pool.upload(target, order, envelope, f"multipart/form-data; boundary={boundary}")
    return _begun(reply, f"the push of {file.name}")


def _begun(reply: Reply, what: str) -> str | None:
    if reply.status >= 400:
        raise complaints.failure(reply, what)
    return tasks.monitor_of(reply)


async def _adapters(pool: RedfishPool, target: Target, system: Resource) -> list[tuple[str, Resource]]:
    found: list[tuple[str, Resource]] = []
    for path in links(part(system, "Links"), "Chassis"):
        found += await pool.survey(target, link(await pool.get(target, path), "NetworkAdapters"))
    return found
