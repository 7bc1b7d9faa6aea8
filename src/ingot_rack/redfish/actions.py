"""What a Redfish client may change: power, boot override, virtual media.

Why: the checks of request bodies sit next to the effect, apart from routing.
May not: read sockets. Invariant: a refused request has changed nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

import aiohttp

from ingot_rack import errors
from ingot_rack.hardware import BootDevice, BootOverride, PowerAction, PowerState
from ingot_rack.redfish import tree
from ingot_rack.redfish.tree import Front
from ingot_rack.redfish.wire import Json, Refused

FETCH_SECONDS = 600.0
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


async def reset(front: Front, body: Json) -> None:
    """ComputerSystem.Reset; raises Refused 409 when the power state forbids it."""
    wanted = body.get("ResetType")
    if wanted is None:
        raise Refused(400, "ActionParameterMissing", "ComputerSystem.Reset", "ResetType")
    on = front.bmc.hardware.power is PowerState.ON
    if wanted == "PushPowerButton":
        action = PowerAction.SOFT_OFF if on else PowerAction.ON
    elif isinstance(wanted, str) and wanted in _SIMPLE:
        action = _SIMPLE[wanted]
    else:
        raise Refused(400, "ActionParameterValueNotInList", str(wanted), "ResetType", "ComputerSystem.Reset")
    try:
        await front.bmc.power(action)
    except errors.NotNow as error:
        raise Refused(409, "InvalidOperationForSystemState") from error
    except errors.RackError as error:
        raise Refused(500, "InternalError") from error


async def set_boot(front: Front, body: Json) -> None:
    """PATCH of the system: only the boot override may change."""
    for name in body:
        if name != "Boot":
            known = name in tree.system(front)
            raise Refused(400, "PropertyNotWritable" if known else "PropertyUnknown", name)
    wanted = body.get("Boot", {})
    if not isinstance(wanted, dict):
        raise Refused(400, "PropertyValueTypeError", str(wanted), "Boot")
    await front.bmc.hardware.set_boot(_override(front, cast("Json", wanted)))


def _override(front: Front, wanted: Json) -> BootOverride:
    """The override a Boot object asks for; members not given keep their value."""
    present = tree.boot(front)
    for name, value in wanted.items():
        if name.endswith("@Redfish.AllowableValues"):
            continue
        allowed = present.get(f"{name}@Redfish.AllowableValues")
        if not isinstance(allowed, list):
            raise Refused(400, "PropertyUnknown", name)
        if value not in allowed:
            raise Refused(400, "PropertyValueNotInList", str(value), name)
    merged = {**present, **wanted}
    enabled = merged["BootSourceOverrideEnabled"]
    devices = {target: device for device, target in tree.TARGETS.items()}
    device = devices[str(merged["BootSourceOverrideTarget"])]
    if enabled == "Disabled" and "BootSourceOverrideEnabled" not in wanted and device is not BootDevice.NONE:
        enabled = "Once"  # DSP0268: a target alone applies to the next boot
    if enabled == "Disabled" or device is BootDevice.NONE:
        return BootOverride()
    return BootOverride(device, persistent=enabled == "Continuous", mode=front.bmc.hardware.facts.firmware)


async def insert(front: Front, body: Json) -> None:
    """VirtualMedia.InsertMedia: fetch the image as a BMC reads it, and put it into the drive."""
    image = body.get("Image")
    if image is None:
        raise Refused(400, "ActionParameterMissing", "VirtualMedia.InsertMedia", "Image")
    if not isinstance(image, str) or urlsplit(image).scheme not in {"http", "https", "file"}:
        raise Refused(400, "ActionParameterValueNotInList", str(image), "Image", "VirtualMedia.InsertMedia")
    if front.bmc.hardware.media is not None:
        raise Refused(409, "ResourceInUse")
    path = await _fetch(front, image)
    try:
        await front.bmc.hardware.insert_media(path)
    except errors.RackError as error:
        raise Refused(500, "InternalError") from error
    front.image_url = image
    front.write_protected = body.get("WriteProtected") is not False


async def eject(front: Front) -> None:
    """VirtualMedia.EjectMedia; an empty drive stays empty."""
    path = front.bmc.hardware.media
    await front.bmc.hardware.eject_media()
    front.image_url = ""
    if path and front.media_folder and path.parent == front.media_folder:
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
        async with asyncio.timeout(FETCH_SECONDS):
            await _download(image, target)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        raise Refused(400, "CouldNotEstablishConnection", image) from error
    return target


def _local(image: str, path: Path) -> Path:
    if not path.is_file():
        raise Refused(400, "CouldNotEstablishConnection", image)
    return path


async def _download(url: str, target: Path) -> None:
    """Copy a URL into a file. BMCs commonly do not verify the image server's certificate, and nor do we."""
    async with aiohttp.ClientSession() as client, client.get(url, ssl=False) as answer:
        answer.raise_for_status()
        with target.open("wb") as file:
            async for chunk in answer.content.iter_chunked(1 << 18):
                await asyncio.to_thread(file.write, chunk)
