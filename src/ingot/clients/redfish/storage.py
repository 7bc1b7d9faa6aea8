"""Storage controllers, their drives, and volumes made of these. Source: DSP0268 Storage, Drive, Volume."""

from __future__ import annotations

import msgspec

from ingot.clients.redfish import systems, tasks
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, items, link, links, number, part, strings, text
from ingot.clients.redfish.target import Target

IMMEDIATE, ON_RESET = "Immediate", "OnReset"
_TIME = "@Redfish.OperationApplyTime"


class Drive(msgspec.Struct, frozen=True, kw_only=True):
    """A disk: size in bytes, ``media``: HDD or SSD, ``protocol``: SAS, SATA, NVMe, ...; None: not told."""

    path: str
    id: str
    size: int
    media: str | None = None
    protocol: str | None = None
    serial: str | None = None
    model: str | None = None
    healthy: bool = True


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume: size in bytes, ``raid``: RAIDType ("RAID1"), ``wwn``: a name the machine's system sees too."""

    path: str
    name: str
    size: int
    raid: str | None
    drives: tuple[str, ...]
    wwn: str | None = None


class Controller(msgspec.Struct, frozen=True, kw_only=True):
    """A controller; ``raid_types`` empty: not told; ``apply_times`` empty: volumes are made at once."""

    path: str
    id: str
    raid_types: tuple[str, ...]
    drives: tuple[Drive, ...]
    volumes: tuple[Volume, ...]
    collection: str | None
    apply_times: tuple[str, ...]


async def list_controllers(pool: RedfishPool, target: Target) -> list[Controller]:
    """Every controller with its drives and volumes; empty where the service has no Storage."""
    system = await systems.get(pool, target)
    found = await pool.collect(target, link(system, "Storage"))
    return [await _controller(pool, target, path, resource) for path, resource in found]


async def create(
    pool: RedfishPool, target: Target, collection: str, wanted: Resource, apply_time: str | None
) -> str | None:
    """Begin to make a volume (``wanted``: RAIDType, Name, CapacityBytes, Links); the task's monitor, None when done."""
    body = {**wanted, _TIME: apply_time} if apply_time else wanted
    return tasks.monitor_of(await pool.post(target, collection, body))


async def delete(pool: RedfishPool, target: Target, volume: Volume, apply_time: str | None) -> str | None:
    """Begin to delete a volume, whose data is lost; the task's monitor, None when done."""
    body: Resource | None = {_TIME: apply_time} if apply_time else None
    return tasks.monitor_of(await pool.send(target, "DELETE", volume.path, body))


async def _controller(pool: RedfishPool, target: Target, path: str, storage: Resource) -> Controller:
    drives = [_drive(one, await pool.get(target, one)) for one in links(storage, "Drives")]
    collection = link(storage, "Volumes")
    listing = await pool.get(target, collection) if collection else {}
    volumes = [_volume(*each) for each in await pool.collect(target, collection)]
    controllers = items(storage, "StorageControllers")
    controllers += [one for _, one in await pool.collect(target, link(storage, "Controllers"))]
    return Controller(
        path=path,
        id=text(storage, "Id") or path,
        raid_types=tuple(kind for one in controllers for kind in strings(one, "SupportedRAIDTypes")),
        drives=tuple(drives),
        volumes=tuple(volumes),
        collection=collection,
        apply_times=tuple(strings(part(listing, "@Redfish.OperationApplyTimeSupport"), "SupportedValues")),
    )


def _drive(path: str, resource: Resource) -> Drive:
    return Drive(
        path=path,
        id=text(resource, "Id") or path,
        size=int(number(resource, "CapacityBytes") or 0),
        media=text(resource, "MediaType"),
        protocol=text(resource, "Protocol"),
        serial=text(resource, "SerialNumber"),
        model=text(resource, "Model"),
        healthy=(text(part(resource, "Status"), "Health") or "OK") != "Critical",
    )


def _volume(path: str, resource: Resource) -> Volume:
    names = [text(one, "DurableName") for one in items(resource, "Identifiers")]
    return Volume(
        path=path,
        name=text(resource, "Name") or text(resource, "Id") or path,
        size=int(number(resource, "CapacityBytes") or 0),
        raid=text(resource, "RAIDType") or text(resource, "VolumeType"),
        drives=tuple(links(part(resource, "Links"), "Drives")),
        wwn=next((name for name in names if name), None),
    )
