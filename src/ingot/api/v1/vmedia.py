"""``/v1/nodes/{node}/vmedia``: virtual drives. May not: talk to hardware.

Invariant: attaching and detaching are orders; what goes wrong with them is read in the node's ``last_error``.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

from ingot.api import query, spec, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, orders
from ingot.services import orders as service
from ingot.store import nodes as store

_DEVICES = ("disk", "cdrom", "floppy")
_SCHEMES = ("http", "https", "nfs", "cifs")
_SOURCES = ("http", "local", "swift")


_MEDIUM = spec.fields(
    "image_download_source",
    device_type=spec.words(_DEVICES),
    image_url=str,
    image_download_source=spec.words(_SOURCES),
)


@spec.tells("The virtual drives of a machine", answer=spec.of(list[dict[str, Any]]))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/vmedia."""
    query.Query(request)
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    media: list[dict[str, Any]] = await deps.bus.call("media", node_uuid=found.uuid)
    return wire.ok([{**one, "inserted": one["image_url"] is not None} for one in media])


@spec.tells("Put an image into a virtual drive; it is done later", 204, body=_MEDIUM)
async def attach(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/nodes/{node}/vmedia."""
    query.Query(request)
    body = request.object("vmedia")
    unknown = sorted(set(body) - {"device_type", "image_url", "image_download_source"})
    if unknown:
        raise errors.Invalid(f"Schema error for vmedia: Additional properties are not allowed ({', '.join(unknown)})")
    device, url = _word(body, "device_type", _DEVICES), body.get("image_url")
    if not isinstance(url, str):
        raise errors.Invalid("Schema error for vmedia: 'image_url' is a required property", hint="Give it as text.")
    source = _word({"image_download_source": "local", **body}, "image_download_source", _SOURCES)
    if source == "swift":
        raise errors.NotSupported("ingot serves no images from Swift", hint='Use "http".')
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in _SCHEMES:
        raise errors.Invalid(f"Unsupported or missing URL scheme: {scheme}", hint=f"Use {', '.join(_SCHEMES)}.")
    await _order(deps, request, orders.Order.ATTACH_MEDIA, {"device": device, "image_url": url})
    return wire.NO_CONTENT


@spec.tells("Take images out of virtual drives; it is done later", 204)
async def detach(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/nodes/{node}/vmedia?device_types=cdrom,..."""
    devices = query.Query(request, "device_types").words("device_types") or ()
    wrong = [device for device in devices if device not in _DEVICES]
    if wrong:
        raise errors.Invalid(
            f"Invalid device type(s) {', '.join(wrong)} (valid are {', '.join(_DEVICES)})", hint="Name valid ones."
        )
    await _order(deps, request, orders.Order.DETACH_MEDIA, {"devices": list(devices)})
    return wire.NO_CONTENT


async def _order(deps: Deps, request: wire.Request, order: orders.Order, params: dict[str, Any]) -> None:
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    await deps.bus.call("check", node_uuid=found.uuid, kind="management")
    await service.request(deps, found.uuid, order, params)


def _word(body: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    found = body.get(name)
    if found not in allowed:
        raise errors.Invalid(f"Schema error for vmedia: {name} {found!r} is not one of {', '.join(allowed)}")
    return str(found)
