"""Virtual media: the CD and USB drives of a BMC, in the shapes that makers gave them.

The CD drive is the machine's own; the USB drive remembers what it was given. Invariant: a refused request has
changed nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp
from aiohttp import web

from ingot_rack import errors
from ingot_rack.redfish.tree import MANAGER, SYSTEM, Front, collection, missing, resource
from ingot_rack.redfish.views import Views, action, shown
from ingot_rack.redfish.wire import Json, Refused, answer, check_match, no_content, read

FETCH_SECONDS = 600.0
DRIVES = {"Cd": ("Virtual CD", ["CD", "DVD"]), "Usb": ("Virtual USB", ["Floppy", "USBStick"])}
_PARAMETERS = {"Image", "Inserted", "WriteProtected", "TransferMethod", "TransferProtocolType", "UserName", "Password"}


@dataclasses.dataclass
class Drive:
    """What one drive holds: the URL it was given, "" when it is empty."""

    image: str = ""
    write_protected: bool = True


class Drives:
    """All drives of one BMC."""

    def __init__(self, front: Front) -> None:
        self._hardware = front.bmc.hardware
        self._all = {name: Drive() for name in DRIVES}
        self.lock = asyncio.Lock()
        """Held while a drive is filled or emptied: fetching takes long, and a drive takes one image."""

    def get(self, name: str) -> Drive:
        """One drive, as it is now: the machine's CD may have been ejected from elsewhere."""
        drive = self._all[name]
        if name == "Cd" and self._hardware.media is None:
            drive.image = ""
        return drive


def media(front: Front, parent: str, name: str) -> Json:
    """A drive, seen below the manager or the system."""
    path = f"{parent}/VirtualMedia/{name}"
    drive = front.part(Drives).get(name)
    title, kinds = DRIVES[name]
    return resource(
        path,
        "VirtualMedia.v1_4_0.VirtualMedia",
        title,
        MediaTypes=kinds,
        Image=drive.image or None,
        ImageName=drive.image.rsplit("/", 1)[-1] or None,
        Inserted=bool(drive.image),
        WriteProtected=drive.write_protected,
        ConnectedVia="URI" if drive.image else "NotConnected",
        **_offered(front, path),
    )


def _offered(front: Front, path: str) -> Json:
    match front.shape.media_by:
        case "patch":
            return {}
        case "hpe":
            names = {"#HpeiLOVirtualMedia.InsertVirtualMedia": "InsertMedia"}
            names["#HpeiLOVirtualMedia.EjectVirtualMedia"] = "EjectMedia"
            actions = {key: {"target": f"{path}/Actions/VirtualMedia.{verb}"} for key, verb in names.items()}
            return {"Oem": {"Hpe": {"Actions": actions}}}
        case _:
            actions = {
                f"#VirtualMedia.{verb}": {"target": f"{path}/Actions/VirtualMedia.{verb}"}
                for verb in ("InsertMedia", "EjectMedia")
            }
            return {"Actions": actions}


async def insert(front: Front, name: str, body: Json) -> None:
    """Fetch the image as a BMC reads it, and put it into the drive; raises Refused."""
    async with front.part(Drives).lock:
        await _insert(front, name, body)


async def _insert(front: Front, name: str, body: Json) -> None:
    image = body.get("Image")
    _check(front, body)
    if not isinstance(image, str) or urlsplit(image).scheme not in {"http", "https", "file"}:
        raise Refused(400, "ActionParameterValueNotInList", str(image), "Image", "VirtualMedia.InsertMedia")
    drive = front.part(Drives).get(name)
    if drive.image or (name == "Cd" and front.bmc.hardware.media is not None):
        raise Refused(409, "ResourceInUse")
    if front.bmc.faults.media_refused:
        raise Refused(500, "InternalError")
    if name == "Cd":
        path = await _fetch(front, image)
        try:
            await front.bmc.hardware.insert_media(path)
        except errors.RackError as error:
            _forget(front, path)
            raise Refused(500, "InternalError") from error
    drive.image = image
    drive.write_protected = body.get("WriteProtected") is not False


def _check(front: Front, body: Json) -> None:
    for parameter in ("Image", *front.shape.media_needs):
        if parameter not in body:
            raise Refused(400, "ActionParameterMissing", "VirtualMedia.InsertMedia", parameter)
    for parameter in body:
        if parameter not in _PARAMETERS or parameter in front.shape.media_refuses:
            raise Refused(400, "ActionParameterNotSupported", parameter, "VirtualMedia.InsertMedia")


async def eject(front: Front, name: str) -> None:
    """VirtualMedia.EjectMedia; an empty drive stays empty."""
    async with front.part(Drives).lock:
        await _eject(front, name)


async def _eject(front: Front, name: str) -> None:
    if name == "Cd":
        path = front.bmc.hardware.media
        try:
            await front.bmc.hardware.eject_media()
        except errors.RackError as error:
            raise Refused(500, "InternalError") from error
        if path:
            _forget(front, path)
    front.part(Drives).get(name).image = ""


def _forget(front: Front, path: Path) -> None:
    """Remove an image that was fetched; one of a file: URL is somebody else's."""
    if path.parent == front.media_folder:
        path.unlink(missing_ok=True)


async def _fetch(front: Front, image: str) -> Path:
    address = urlsplit(image)
    if address.scheme == "file":
        return _local(image, Path(unquote(address.path)))
    if front.media_folder is None:
        return Path(address.path or image)
    front.media_folder.mkdir(parents=True, exist_ok=True)
    target = front.media_folder / f"media-{uuid.uuid4().hex}.iso"
    try:
        await _download(image, target)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        target.unlink(missing_ok=True)
        raise Refused(400, "CouldNotEstablishConnection", image) from error
    except asyncio.CancelledError:
        target.unlink(missing_ok=True)
        raise
    return target


def _local(image: str, path: Path) -> Path:
    if not path.is_file():
        raise Refused(400, "CouldNotEstablishConnection", image)
    return path


async def _download(url: str, target: Path) -> None:
    """Copy a URL into a file. BMCs commonly do not verify the image server's certificate, and nor do we."""
    limit = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with aiohttp.ClientSession(timeout=limit) as client, client.get(url, ssl=False) as answer:
        answer.raise_for_status()
        with target.open("wb") as file:
            async for chunk in answer.content.iter_chunked(1 << 18):
                await asyncio.to_thread(file.write, chunk)


def _drive_views(parent: str, name: str) -> dict[str, Views]:
    path = f"{parent}/VirtualMedia/{name}"

    async def inserting(front: Front, body: Json) -> None:
        _by(_seen(front, parent), path, "action", "hpe")
        await insert(front, name, body)

    async def ejecting(request: web.Request, front: Front) -> web.StreamResponse:
        _by(_seen(front, parent), path, "action", "hpe")
        if front.shape.eject_body and not await request.read():
            raise Refused(400, "MalformedJSON")
        await eject(front, name)
        return no_content()

    async def patching(request: web.Request, front: Front) -> web.StreamResponse:
        _by(_seen(front, parent), path, "patch")
        check_match(request, media(front, parent, name))
        body = await read(request)
        await (insert(front, name, body) if body.get("Image") else eject(front, name))
        return answer(media(front, parent, name))

    return {
        path: {**shown(lambda front: media(_seen(front, parent), parent, name)), "PATCH": patching},
        f"{path}/Actions/VirtualMedia.InsertMedia": action(inserting),
        f"{path}/Actions/VirtualMedia.EjectMedia": {"POST": ejecting},
    }


def _by(front: Front, path: str, *ways: str) -> None:
    if front.shape.media_by not in ways:
        raise missing(path) if "patch" not in ways else Refused(405, "OperationNotAllowed")


def _seen(front: Front, parent: str) -> Front:
    """The front, where its drives are below ``parent``; raises Refused 404 elsewhere."""
    if ("System" if parent == SYSTEM else "Manager") not in front.shape.media:
        raise missing(f"{parent}/VirtualMedia")
    return front


def routes() -> dict[str, Views]:
    """Path -> views."""
    table: dict[str, Views] = {}
    for parent in (SYSTEM, MANAGER):
        path = f"{parent}/VirtualMedia"
        table[path] = _list(path, parent)
        for name in DRIVES:
            table |= _drive_views(parent, name)
    return table


def _list(path: str, parent: str) -> Views:
    members = [f"{path}/{name}" for name in DRIVES]
    return shown(lambda front: _seen(front, parent) and collection(path, "VirtualMedia", members))
