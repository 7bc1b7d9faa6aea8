"""``/v1/nodes/{node}/history``, ``/inventory`` and ``/children``: what is known about a node beside itself.

Invariant: nothing here changes anything.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection

from ingot.api import access, paging, query, spec, versions, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import node
from ingot.store import history, node_filters
from ingot.store import nodes as store
from ingot.store.paging import Page

_SHORT = ("uuid", "created_at", "severity", "event")
_SORTABLE = frozenset({"uuid", "created_at", "severity", "event_type", "user", "conductor"})
_EVENT_LENGTH = 255


@spec.tells("What happened to a node, oldest first", answer=spec.page("history", "history"))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/history."""
    asked = query.Query(request, *query.PAGING, "detail")
    page = asked.page(_SORTABLE)
    detail = bool(asked.flag("detail"))
    uuid, found = await deps.store.read(_list, nodes.node_ident(request), page)
    body = {"history": [_shown(request, uuid, entry, detail=detail) for entry in found]}
    url = request.href("v1", "nodes", uuid, "history")
    uuids = [entry.uuid for entry in found]
    return wire.ok(paging.add_next(body, url, page, uuids, {"detail": "True" if detail else None}))


@spec.tells("One line of a node's history", answer=spec.one("history"))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/history/{entry}."""
    query.Query(request)
    found = await deps.store.read(_get, nodes.node_ident(request), request.args["entry"])
    return wire.ok(_shown(request, found.node_uuid, found, detail=True))


@spec.tells("What inspection found", answer=spec.fields(inventory=dict[str, Any], plugin_data=dict[str, Any]))
async def inventory(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/inventory."""
    query.Query(request)
    found, plugin_data = await deps.store.read(_inventory, nodes.node_ident(request))
    return wire.ok({"inventory": found, "plugin_data": plugin_data})


@spec.tells("The nodes whose parent this node is", answer=spec.fields(children=list[str], links=dict[str, str]))
async def children(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/children."""
    query.Query(request)
    project = access.project_of_list(request.caller, "node")
    uuid, found = await deps.store.read(_children, nodes.node_ident(request), project)
    link = {"href": f"{request.href('v1', 'nodes')}?parent_node={uuid}", "rel": "children"}
    return wire.ok({"children": found, "links": link})


def _shown(request: wire.Request, uuid: str, entry: node.HistoryEntry, *, detail: bool) -> dict[str, Any]:
    names = versions.fields("history", request.version) if detail else _SHORT
    values = msgspec.structs.asdict(entry)
    body: dict[str, Any] = {name: values[name] for name in names if name in values}
    if not detail:
        body["event"] = body["event"][:_EVENT_LENGTH]
    body["links"] = request.links("nodes", uuid, "history", entry.uuid)
    return body


def _list(connection: Connection, ident: str, page: Page) -> tuple[str, list[node.HistoryEntry]]:
    uuid = store.get(connection, ident).uuid
    return uuid, history.list_page(connection, uuid, page)


def _get(connection: Connection, ident: str, entry: str) -> node.HistoryEntry:
    return history.get(connection, store.get(connection, ident).uuid, entry)


def _inventory(connection: Connection, ident: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return history.get_inventory(connection, store.get(connection, ident).uuid)


def _children(connection: Connection, ident: str, project: str | None) -> tuple[str, list[str]]:
    uuid = store.get(connection, ident).uuid
    found = store.list_rows(connection, node_filters.Filter(parent_node=uuid, project=project), Page(), ("uuid",))
    return uuid, [row["uuid"] for row in found]
