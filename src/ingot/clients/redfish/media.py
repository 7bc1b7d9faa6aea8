"""Virtual media: find a drive, put an image in, take it out.

Why: makers put the drives below the system or below the manager, and take an image by an action, by an action of
their own, or by a PATCH; which parameters they want is told best by their own refusals.
May not: serve an image. Invariant: returns only once the drive shows what was asked.
Sources: DSP0268 VirtualMedia; sushy's virtual_media.py for Supermicro, Lenovo and NVIDIA; HPE's Redfish reference.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from ingot.clients.http.client import Reply
from ingot.clients.redfish import complaints, systems, tasks
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, action, link, links, part, strings, text
from ingot.clients.redfish.target import Target
from ingot.domain import errors

SETTLE = 60.0  # a BMC fetches the first blocks before it says that the image is in
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 3.0
_CURE = "Check that the BMC reaches the image's address, and its licence for virtual media; its own log says more."
MOST_TRIES = 6  # the plain request and one for each parameter that a BMC may want otherwise


class Kind(StrEnum):
    """MediaTypes by which a drive is chosen."""

    CD = "CD"
    DVD = "DVD"
    USB = "USBStick"
    FLOPPY = "Floppy"


class Drive(msgspec.Struct, frozen=True):
    """A drive: its path, the media it can be, and the URL in it (None: empty)."""

    path: str
    kinds: tuple[str, ...]
    image: str | None


async def list_all(pool: RedfishPool, target: Target) -> list[Drive]:
    """Every drive of the system, then those of the managers that manage it. Raises what ``RedfishPool.get`` raises."""
    return [_drive(path, resource) for path, resource in await _resources(pool, target)]


async def insert(pool: RedfishPool, target: Target, kinds: tuple[Kind, ...], url: str) -> Drive:
    """Put the image at ``url`` into a drive that is one of ``kinds``; the drive.

    A drive that holds it already is left alone; an empty drive is preferred; another image is ejected.
    Raises ``errors.Invalid`` without such a drive, ``errors.Misbehaved`` when the BMC refuses or the drive
    stays empty, and what ``RedfishPool.get`` raises.
    """
    path, resource = await _choose(pool, target, kinds, url)
    drive = _drive(path, resource)
    if drive.image == url:
        return drive
    if drive.image is not None:
        await _eject(pool, target, path, resource)
    await _insert(pool, target, path, resource, url)
    return await _settled(pool, target, path, f"did not show the image within {SETTLE:.0f} s", full=True)


async def eject(pool: RedfishPool, target: Target, kinds: tuple[Kind, ...] = tuple(Kind)) -> None:
    """Empty every drive that is one of ``kinds``. Raises what ``insert`` raises."""
    for path, resource in await _resources(pool, target):
        drive = _drive(path, resource)
        if drive.image is not None and set(drive.kinds) & set(kinds):
            await _eject(pool, target, path, resource)


async def _resources(pool: RedfishPool, target: Target) -> list[tuple[str, Resource]]:
    system = await systems.get(pool, target)
    found = await pool.collect(target, link(system, "VirtualMedia"))
    for manager in links(part(system, "Links"), "ManagedBy"):
        found += await pool.collect(target, link(await pool.get(target, manager), "VirtualMedia"))
    return found


async def _choose(pool: RedfishPool, target: Target, kinds: tuple[Kind, ...], url: str) -> tuple[str, Resource]:
    found = await _resources(pool, target)
    fitting = [(path, drive) for path, drive in found if set(kinds) & set(strings(drive, "MediaTypes"))]
    if not fitting:
        known = sorted({kind for _, drive in found for kind in strings(drive, "MediaTypes")})
        raise errors.Invalid(
            f"{target.name} has no virtual drive for {' or '.join(kinds)}; it offers {', '.join(known) or 'none'}.",
            hint="Check the BMC's licence for virtual media, or boot from the network.",
        )
    worth = {url: 0, None: 1}
    return min(fitting, key=lambda each: worth.get(_drive(*each).image, 2))


def _drive(path: str, resource: Resource) -> Drive:
    image = text(resource, "Image") or text(resource, "ImageName")
    inserted = resource.get("Inserted")
    held = image is not None if inserted is None else inserted is True
    return Drive(path, tuple(strings(resource, "MediaTypes")), (image or "unknown") if held else None)


async def _insert(pool: RedfishPool, target: Target, path: str, resource: Resource, url: str) -> None:
    """Send the plainest request, then follow what the BMC says of its parameters."""
    order = _order(resource, "Insert")
    body: Resource = {"Image": url}
    if order is None:
        body |= {"Inserted": True, "WriteProtected": True}  # Lenovo's SD530 attaches nothing without (sushy)
    left = MOST_TRIES
    while True:
        reply = await _ask(pool, target, order or path, body, patch=order is None)
        if reply.status < 400:
            await tasks.follow(pool, target, reply)
            return
        changed, left = _corrected(body, reply), left - 1
        if changed == body or not left:
            raise complaints.failure(reply, f"the insertion of an image into {path}", _CURE)
        body = changed


async def _ask(pool: RedfishPool, target: Target, path: str, body: Resource, *, patch: bool) -> Reply:
    if not patch:
        return await pool.send(target, "POST", path, body, accept=(400, 422, 500))
    _, etag = await pool.get_with_etag(target, path)
    return await pool.patch(target, path, body, etag, accept=(400, 422, 500))


def _corrected(body: Resource, reply: Reply) -> Resource:
    """The body with what the refusal misses added and what it does not know left out."""
    changed = dict(body)
    url = str(body["Image"])
    additions: Resource = {
        "TransferProtocolType": urlsplit(url).scheme.upper(),
        "TransferMethod": "Stream",
        "UserName": "none",  # NVIDIA's DGX wants some, whatever they are (sushy's note on bug 2071945)
        "Password": "none",
        "Inserted": True,
        "WriteProtected": True,
    }
    for key, message, about in complaints.details(reply):
        named = [name for name in additions if name in about or name in message]
        for name in named:
            if name in body and key.endswith(("NotSupported", "Unknown", "NotWritable")):
                changed.pop(name, None)
            elif name not in body:
                changed[name] = additions[name]
    return changed


def _order(resource: Resource, verb: str) -> str | None:
    """Where ``Insert`` or ``Eject`` is posted: the standard action, else HPE's older own; None: by PATCH."""
    oem = part(resource, "Oem", "Hpe") or part(resource, "Oem", "Hp")
    return action(resource, f"VirtualMedia.{verb}Media") or action(oem, f"HpeiLOVirtualMedia.{verb}VirtualMedia")


async def _eject(pool: RedfishPool, target: Target, path: str, resource: Resource) -> None:
    order = _order(resource, "Eject")
    if order is not None:
        await tasks.follow(pool, target, await pool.post(target, order, {}))  # iLO wants a body, if an empty one
    else:
        _, etag = await pool.get_with_etag(target, path)
        await pool.patch(target, path, {"Image": None, "Inserted": False}, etag)
    await _settled(pool, target, path, f"still shows its image {SETTLE:.0f} s after it was ejected", full=False)


async def _settled(pool: RedfishPool, target: Target, path: str, otherwise: str, *, full: bool) -> Drive:
    loop = asyncio.get_running_loop()
    ends, pause = loop.time() + SETTLE, FIRST_PAUSE
    while True:
        drive = _drive(path, await pool.get(target, path))
        if (drive.image is not None) is full:
            return drive
        if loop.time() + pause > ends:
            raise errors.Misbehaved(
                f"{target.name} accepted the order, but its virtual drive {otherwise}.",
                hint="Check that the BMC reaches the image's server, and the BMC's own log.",
            )
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
