"""``/v1/nodes/{node}/states/console``: is a console served, and where. May not: open a line."""

from __future__ import annotations

from ingot.api import query, spec, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import truth
from ingot.store import nodes as store

_CONSOLE = spec.fields(console_enabled=bool, console_info=dict[str, str] | None)


@spec.tells("Whether a console is served, and where", answer=_CONSOLE)
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/states/console: the link in it opens this console for some minutes, without a password."""
    query.Query(request)
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    told = await deps.bus.call("console_info", node_uuid=found.uuid, base=request.base)
    return wire.ok({"console_enabled": told is not None, "console_info": told})


@spec.tells("Switch the console on or off", 202, body=spec.fields(enabled=bool | str))
async def change(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/states/console."""
    enabled = truth.read("enabled", query.required(request, "enabled"))
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    await deps.bus.call("set_console", node_uuid=found.uuid, enabled=enabled)
    return wire.accepted(request.href("v1", "nodes", request.args["node"], "states", "console"))
