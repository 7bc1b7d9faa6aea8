"""``/v1/nodes/{node}/management`` and ``/vifs``: what the conductor answers while the client waits.

May not: talk to hardware. Invariant: each call goes over the bus with the node's uuid.
"""

from __future__ import annotations

from typing import Any

from ingot.api import query, versions, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, ids
from ingot.services import nodes as service
from ingot.store import nodes as store

_DEVICES = ("pxe", "disk", "cdrom", "bios", "safe", "wanboot", "iscsiboot", "floppy", "uefihttp")


async def get_boot_device(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/management/boot_device."""
    query.Query(request)
    found: dict[str, Any] = await deps.bus.call("get_boot_device", node_uuid=await _uuid(deps, request))
    return wire.ok({"boot_device": found["boot_device"], "persistent": found["persistent"]})


async def supported_boot_devices(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/management/boot_device/supported."""
    query.Query(request)
    found = await deps.bus.call("supported_boot_devices", node_uuid=await _uuid(deps, request))
    return wire.ok({"supported_boot_devices": found})


async def set_boot_device(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/management/boot_device; by body, or by query as old clients do."""
    asked = query.Query(request, "boot_device", "persistent")
    body = {name: asked.text(name) for name in asked.names()} | request.object("boot_device")
    device = body.get("boot_device")
    if set(body) - {"boot_device", "persistent"}:
        raise errors.Invalid("Schema error for boot_device: only boot_device and persistent may be given")
    if not isinstance(device, str):
        raise errors.Invalid("Missing mandatory parameter: boot_device")
    if device not in _DEVICES:
        raise errors.Invalid(f"Invalid boot device {device} specified.", hint=f"There are: {', '.join(_DEVICES)}.")
    persistent = query.truth(body.get("persistent", False), "persistent")
    uuid = await _uuid(deps, request, changing=True)
    await deps.bus.call("set_boot_device", node_uuid=uuid, device=device, persistent=persistent)
    return wire.NO_CONTENT


async def list_vifs(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/vifs."""
    query.Query(request)
    found: list[str] = await deps.bus.call("vif_list", node_uuid=await _uuid(deps, request))
    return wire.ok({"vifs": [{"id": vif} for vif in found]})


async def attach_vif(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/nodes/{node}/vifs."""
    query.Query(request)
    body = request.object("vif")
    vif_id = body.get("id")
    if not isinstance(vif_id, str) or not 0 < len(vif_id) <= 255:
        raise errors.Invalid("Schema error for vif: 'id' is a required property", hint="Give the id as text.")
    for name in ("port_uuid", "portgroup_uuid"):
        if name in body:
            versions.require(request.version, 67)
            if not ids.is_uuid(str(body[name])):
                raise errors.Invalid(f"Expected UUID for {name}: {body[name]}")
    if "port_uuid" in body and "portgroup_uuid" in body:
        raise errors.Invalid("Cannot specify both port_uuid and portgroup_uuid")
    await deps.bus.call("vif_attach", node_uuid=await _uuid(deps, request, changing=True), vif=body)
    return wire.NO_CONTENT


async def detach_vif(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/nodes/{node}/vifs/{vif}."""
    query.Query(request)
    await deps.bus.call("vif_detach", node_uuid=await _uuid(deps, request, changing=True), vif_id=request.args["vif"])
    return wire.NO_CONTENT


async def inject_nmi(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/management/inject_nmi."""
    query.Query(request)
    if request.object("inject_nmi"):
        raise errors.Invalid("Schema error for inject_nmi: the body must be empty")
    await deps.bus.call("inject_nmi", node_uuid=await _uuid(deps, request, changing=True))
    return wire.NO_CONTENT


async def _uuid(deps: Deps, request: wire.Request, *, changing: bool = False) -> str:
    """The uuid of the path's node. Raises errors.NotFound; Locked when ``changing`` what a conductor works on."""
    found = await deps.store.read(store.get, nodes.node_ident(request))
    if changing:
        service.refuse_locked(found)
    return found.uuid
