"""``/v1/nodes/{node}/states/boot_mode``, ``/secure_boot`` and ``/raid``: what a machine is asked to become.

May not: talk to hardware. Invariant: boot mode and secure boot are orders (services/orders.py), answered 202.
"""

from __future__ import annotations

from typing import Any

from ingot.api import query, spec, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, orders, truth
from ingot.services import nodes as node_service
from ingot.services import orders as service
from ingot.store import nodes as store

_BOOT_MODES = ("uefi", "bios")


@spec.tells("Ask for a boot mode; it is set later", 202, body=spec.fields(target=spec.words(_BOOT_MODES)))
async def set_boot_mode(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/states/boot_mode."""
    target = query.required(request, "target")
    if target not in _BOOT_MODES:
        raise errors.Invalid(
            f"Invalid boot mode {target} requested for node.", hint=f"Allowed boot modes are: {', '.join(_BOOT_MODES)}."
        )
    return await _order(deps, request, orders.Order.BOOT_MODE, target)


@spec.tells("Ask for Secure Boot on or off; it is set later", 202, body=spec.fields(target=bool | str))
async def set_secure_boot(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/states/secure_boot."""
    target = truth.read("target", query.required(request, "target"))
    return await _order(deps, request, orders.Order.SECURE_BOOT, target)


@spec.tells("Say which RAID volumes a node is to have", 204, body=spec.of(dict[str, Any]))
async def set_raid(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/states/raid: the body is the wish, {} takes it back."""
    query.Query(request)
    target = request.object("target_raid_config")
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    node_service.refuse_locked(found)
    if target:
        try:
            await deps.bus.call("check_raid", node_uuid=found.uuid, target=target)
        except errors.NotSupported as error:
            raise errors.NotFound(error.message, hint=error.hint) from error
    await node_service.set_raid_target(deps, found.uuid, target)
    return wire.NO_CONTENT


async def _order(deps: Deps, request: wire.Request, order: orders.Order, target: Any) -> wire.Answer:
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    await deps.bus.call("check", node_uuid=found.uuid, kind="management")
    await service.request(deps, found.uuid, order, {"target": target})
    return wire.accepted(request.href("v1", "nodes", request.args["node"], "states"))
