"""``/v1/nodes/{node}/management`` and ``/vifs``: what the conductor answers while the client waits.

May not: talk to hardware. Invariant: each call goes over the bus with the node's uuid.
"""

from __future__ import annotations

from typing import Any

from ingot.api import query, spec, versions, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, ids, truth
from ingot.services import nodes as service
from ingot.store import nodes as store

_DEVICES = ("pxe", "disk", "cdrom", "bios", "safe", "wanboot", "iscsiboot", "floppy", "uefihttp")


_DEVICE = spec.fields("persistent", boot_device=spec.words(_DEVICES), persistent=bool | str | None)
_VIF = spec.anything(
    "A virtual interface: its id, and what else the network interface knows",
    type="object",
    properties={"id": {"type": "string", "minLength": 1, "maxLength": 255}},
    required=["id"],
)


@spec.tells("What the machine boots from next", answer=spec.fields(boot_device=str | None, persistent=bool | None))
async def get_boot_device(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/management/boot_device."""
    query.Query(request)
    found: dict[str, Any] = await deps.bus.call("get_boot_device", node_uuid=await _uuid(deps, request))
    return wire.ok({"boot_device": found["boot_device"], "persistent": found["persistent"]})


@spec.tells("What the machine can boot from", answer=spec.fields(supported_boot_devices=list[str]))
async def supported_boot_devices(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/management/boot_device/supported."""
    query.Query(request)
    found = await deps.bus.call("supported_boot_devices", node_uuid=await _uuid(deps, request))
    return wire.ok({"supported_boot_devices": found})


@spec.tells("Choose what the machine boots from next", 204, body=_DEVICE)
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
    persistent = truth.read("persistent", body.get("persistent", False))
    uuid = await _uuid(deps, request, changing=True)
    await deps.bus.call("set_boot_device", node_uuid=uuid, device=device, persistent=persistent)
    return wire.NO_CONTENT


@spec.tells("The virtual interfaces attached to a node", answer=spec.fields(vifs=list[dict[str, str]]))
async def list_vifs(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/vifs."""
    query.Query(request)
    found: list[str] = await deps.bus.call("vif_list", node_uuid=await _uuid(deps, request))
    return wire.ok({"vifs": [{"id": vif} for vif in found]})


@spec.tells("Attach a virtual interface", 204, body=_VIF)
async def attach_vif(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/nodes/{node}/vifs."""
    query.Query(request)
    body = request.object("vif")
    vif_id = body.get("id")
    if not isinstance(vif_id, str) or not 0 < len(vif_id) <= 255:
        raise errors.Invalid("Schema error for vif: 'id' is a required property", hint="Give the id as text.")
    if not ids.is_uuid(vif_id) and not ids.is_name(vif_id):
        raise errors.Invalid(f"Expected UUID or name for id: {vif_id}")
    for name in ("port_uuid", "portgroup_uuid"):
        if name in body:
            versions.require(request.version, 67)
            if not ids.is_uuid(str(body[name])):
                raise errors.Invalid(f"Expected UUID for {name}: {body[name]}")
    if "port_uuid" in body and "portgroup_uuid" in body:
        raise errors.Invalid("Cannot specify both port_uuid and portgroup_uuid")
    await deps.bus.call("vif_attach", node_uuid=await _uuid(deps, request, changing=True), vif=body)
    return wire.NO_CONTENT


@spec.tells("Detach a virtual interface", 204)
async def detach_vif(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/nodes/{node}/vifs/{vif}."""
    query.Query(request)
    await deps.bus.call("vif_detach", node_uuid=await _uuid(deps, request, changing=True), vif_id=request.args["vif"])
    return wire.NO_CONTENT


@spec.tells("Interrupt the machine: its system may dump its memory", 204, body=spec.of(dict[str, Any]))
async def inject_nmi(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/management/inject_nmi."""
    query.Query(request)
    if request.object("inject_nmi"):
        raise errors.Invalid("Schema error for inject_nmi: the body must be empty")
    await deps.bus.call("inject_nmi", node_uuid=await _uuid(deps, request, changing=True))
    return wire.NO_CONTENT


async def _uuid(deps: Deps, request: wire.Request, *, changing: bool = False) -> str:
    """The uuid of the path's node. Raises errors.NotFound; Locked when ``changing`` what a conductor works on."""
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    if changing:
        service.refuse_locked(found)
    return found.uuid
