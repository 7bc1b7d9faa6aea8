"""``/v1/nodes/{node}/management/indicators``: a machine's lamps. May not: talk to hardware."""

from __future__ import annotations

from typing import Any

from ingot.api import query, spec, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors
from ingot.services import nodes as service
from ingot.store import nodes as store

_STATES = ("on", "off", "blinking", "unknown")


@spec.tells("The lamps of a machine", answer=spec.fields(indicators=list[dict[str, Any]]))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/management/indicators."""
    query.Query(request)
    found: dict[str, dict[str, Any]] = await deps.bus.call("indicators", node_uuid=await _uuid(deps, request))
    shown = [
        _shown(request, component, name, lamp) for component, lamps in found.items() for name, lamp in lamps.items()
    ]
    return wire.ok({"indicators": shown})


@spec.tells("What a lamp does", answer=spec.fields(state=str))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/management/indicators/{name}@{component}."""
    query.Query(request)
    name, component = _named(request)
    uuid = await _uuid(deps, request, changing=True)
    return wire.ok({"state": await deps.bus.call("get_indicator", node_uuid=uuid, component=component, name=name)})


@spec.tells("Switch a lamp", 204, body=spec.fields(state=spec.words(_STATES)))
async def change(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/management/indicators/{name}@{component}."""
    state = query.required(request, "state")
    name, component = _named(request)
    if state not in _STATES:
        raise errors.Invalid(f"Invalid indicator state {state} specified.", hint=f"There are: {', '.join(_STATES)}.")
    uuid = await _uuid(deps, request, changing=True)
    await deps.bus.call("set_indicator", node_uuid=uuid, component=component, name=name, state=state)
    return wire.NO_CONTENT


def _named(request: wire.Request) -> tuple[str, str]:
    unique = request.args["indicator"]
    name, at, component = unique.partition("@")
    if not at:
        raise errors.Invalid(f'Malformed indicator name "{unique}"', hint="It is name@component.")
    return name, component


def _shown(request: wire.Request, component: str, name: str, lamp: dict[str, Any]) -> dict[str, Any]:
    unique = f"{name}@{component}"
    own = ("nodes", request.args["node"], "management", "indicators")
    # Ironic leaves the at sign as it is.
    links = [
        {"href": f"{request.href('v1', *own)}/{unique}", "rel": "self"},
        {"href": f"{request.href(*own)}/{unique}", "rel": "bookmark"},
    ]
    return {
        "name": unique,
        "component": component,
        "readonly": lamp["readonly"],
        "states": lamp["states"],
        "links": links,
    }


async def _uuid(deps: Deps, request: wire.Request, *, changing: bool = False) -> str:
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    if changing:
        service.refuse_locked(found)
    return found.uuid
