"""``/v1/nodes/{node}/states/console``: is a console served, and where. May not: open a line."""

from __future__ import annotations

from ingot.api import query, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.store import nodes as store


async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/states/console: the link in it opens this console for some minutes, without a password."""
    query.Query(request)
    found = await deps.store.read(store.get, nodes.node_ident(request))
    told = await deps.bus.call("console_info", node_uuid=found.uuid, base=request.base)
    return wire.ok({"console_enabled": told is not None, "console_info": told})


async def change(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/states/console."""
    enabled = query.truth(query.required(request, "enabled"), "enabled")
    found = await deps.store.read(store.get, nodes.node_ident(request))
    await deps.bus.call("set_console", node_uuid=found.uuid, enabled=enabled)
    return wire.accepted(request.href("v1", "nodes", request.args["node"], "states", "console"))
