"""``/v1/nodes/{node}/vendor_passthru`` and ``/v1/drivers/{driver}/vendor_passthru``: methods beyond all contracts.

May not: know a method. Invariant: what the body says goes to the driver unread.
"""

from __future__ import annotations

from typing import Any

from ingot.api import query, spec, wire
from ingot.api.v1 import drivers, nodes
from ingot.deps import Deps
from ingot.domain import errors, orders
from ingot.services import orders as service
from ingot.store import nodes as store

_RESULT = spec.anything("What the method gives")


@spec.tells("The vendor methods of a node", answer=spec.of(dict[str, dict[str, Any]]))
async def methods(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/vendor_passthru/methods."""
    query.Query(request)
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    return wire.ok(await deps.bus.call("vendor_methods", node_uuid=found.uuid))


@spec.tells("Call a vendor method of a node; 202 when it is done later", answer=_RESULT, body=spec.of(dict[str, Any]))
async def call(deps: Deps, request: wire.Request) -> wire.Answer:
    """Any method on /v1/nodes/{node}/vendor_passthru/{method}, or with ?method=..."""
    method, body = _read(request)
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    answer: dict[str, Any] = await deps.bus.call(
        "vendor_call", within=300.0, node_uuid=found.uuid, method=method, http=request.method, body=body
    )
    if not answer["wait"]:
        await service.request(deps, found.uuid, orders.Order.VENDOR, {"method": method, "body": body})
    return _answer(answer)


@spec.tells("The vendor methods of a driver", answer=spec.of(dict[str, dict[str, Any]]))
async def driver_methods(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/drivers/{driver}/vendor_passthru/methods."""
    query.Query(request)
    return wire.ok(await deps.bus.call("driver_vendor_methods", driver=drivers.known(deps, request)))


@spec.tells("Call a vendor method of a driver; 202 when it is done later", answer=_RESULT, body=spec.of(dict[str, Any]))
async def driver_call(deps: Deps, request: wire.Request) -> wire.Answer:
    """Any method on /v1/drivers/{driver}/vendor_passthru/{method}, or with ?method=..."""
    method, body = _read(request)
    driver = drivers.known(deps, request)
    return _answer(
        await deps.bus.call("driver_vendor_call", driver=driver, method=method, http=request.method, body=body)
    )


def _read(request: wire.Request) -> tuple[str, dict[str, Any]]:
    named = query.Query(request, "method").text("method")
    method = request.args.get("method") or named
    if not method:
        raise errors.Invalid("Missing mandatory parameter: method", hint="Name it in the path.")
    return method, request.object("data")


def _answer(answer: dict[str, Any]) -> wire.Answer:
    if not answer["wait"]:
        return wire.accepted()
    result = answer["result"]
    if answer["attach"]:
        content = result.encode() if isinstance(result, str) else bytes(result)
        return wire.Answer(200, content, ((b"content-type", b"application/octet-stream"),))
    return wire.ok(result)
