"""``/ingot/v1/nodes/{node}/sensors`` and ``/sel``: what a BMC measures and noted, which Ironic only notifies of.

May not: talk to hardware. Invariant: nothing is kept; each answer is read from the BMC.
"""

from __future__ import annotations

from typing import Any

from ingot.api import query, spec, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.services import nodes as service
from ingot.store import nodes as store


@spec.tells("What the BMC measures now", answer=spec.fields(sensors=dict[str, dict[str, dict[str, Any]]]))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/nodes/{node}/sensors: kind -> sensor -> what is known of it."""
    query.Query(request)
    found = await deps.store.read(store.get, nodes.node_ident(request))
    return wire.ok({"sensors": await deps.bus.call("sensors", node_uuid=found.uuid)})


@spec.tells("The BMC's event log, oldest first", answer=spec.fields(events=list[dict[str, Any]]))
async def events(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/nodes/{node}/sel: the BMC's event log, oldest first."""
    query.Query(request)
    found = await deps.store.read(store.get, nodes.node_ident(request))
    return wire.ok({"events": await deps.bus.call("events", node_uuid=found.uuid)})


@spec.tells("Empty the BMC's event log", 204)
async def clear_events(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /ingot/v1/nodes/{node}/sel."""
    query.Query(request)
    found = await deps.store.read(store.get, nodes.node_ident(request))
    service.refuse_locked(found)
    await deps.bus.call("clear_events", node_uuid=found.uuid)
    return wire.NO_CONTENT
