"""``/v1/ports`` and ``/v1/nodes/{node}/ports``. May not: decide what may change when (services/ports.py)."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection

from ingot.api import access, columns, paging, query, spec, versions, wire
from ingot.api.v1 import nodes, portgroups
from ingot.deps import Deps
from ingot.domain import errors, ids, node, patch
from ingot.services import drafts
from ingot.services import ports as service
from ingot.store import nodes as node_store
from ingot.store import portgroups as group_store
from ingot.store import ports as store
from ingot.store import rows, schema
from ingot.store.paging import Page

_SHORT = ("uuid", "address", "links")
_FILTERS = (*versions.filters_since("port"), "fields")
_COLUMNS = frozenset(column.name for column in schema.ports.c) - rows.JSON_COLUMNS
_SORTABLE = _COLUMNS.intersection(versions.since("port")) - {"node_uuid", "portgroup_uuid"}
_NAMES_OF_NODES_SINCE = 5
_GATED_IN_PATCHES = frozenset(
    {"local_link_connection", "pxe_enabled", "portgroup_uuid", "physical_network", "is_smartnic"}
)
"""Fields that a patch may name from their microversion on; younger ones Ironic lets every version change."""
_ALL = (*query.PAGING, *_FILTERS)
_OF_DETAIL = tuple(name for name in _ALL if name not in {"fields", "detail"})


@spec.tells("Register a network card of a node", 201, answer=spec.one("port"), body=spec.of(drafts.PortDraft))
async def create(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/ports."""
    query.Query(request)
    body = request.object("port")
    draft = service.read(body)
    _require_body_fields(("node_ident",) if draft.node_ident else (), request.version)
    await access.require_on_node(deps, request.caller, service.node_of(draft), "baremetal:port:create")
    _require_body_fields(tuple(body), request.version)
    made = await service.create(deps, draft, request.version)
    names = versions.fields("port", request.version)
    return wire.created(shown(request, made, names), request.href("v1", "ports", made.uuid))


@spec.tells("List ports, a page at a time", answer=spec.page("ports", "port"))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/ports."""
    return await _collection(deps, request, query.Query(request, *_ALL))


@spec.tells("List ports with all their fields", answer=spec.page("ports", "port"))
async def index_detail(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/ports/detail."""
    return await _collection(deps, request, query.Query(request, *_OF_DETAIL), detail=True)


@spec.tells("List the ports of a node", answer=spec.page("ports", "port"))
async def index_of_node(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/ports."""
    within = ("nodes", nodes.node_ident(request))
    return await _collection(deps, request, query.Query(request, *_ALL), within)


@spec.tells("List the ports of a node with all their fields", answer=spec.page("ports", "port"))
async def index_of_node_detail(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/ports/detail."""
    within = ("nodes", nodes.node_ident(request))
    return await _collection(deps, request, query.Query(request, *_OF_DETAIL), within, detail=True)


@spec.tells("List the ports of a port group", answer=spec.page("ports", "port"))
async def index_of_portgroup(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/portgroups/{portgroup}/ports."""
    within = ("portgroups", portgroups.group_ident(request))
    return await _collection(deps, request, query.Query(request, *_ALL), within)


@spec.tells("List the ports of a port group with all their fields", answer=spec.page("ports", "port"))
async def index_of_portgroup_detail(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/portgroups/{portgroup}/ports/detail."""
    within = ("portgroups", portgroups.group_ident(request))
    return await _collection(deps, request, query.Query(request, *_OF_DETAIL), within, detail=True)


@spec.tells("Show one port", answer=spec.one("port"))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/ports/{port}."""
    asked = query.Query(request, "fields")
    names = columns.of_one("port", asked, request.version)
    found = await deps.store.peek(store.get, _ident(request))
    return wire.ok(shown(request, found, names))


@spec.tells("Change fields of a port", answer=spec.one("port"), body=spec.PATCH)
async def change(deps: Deps, request: wire.Request) -> wire.Answer:
    """PATCH /v1/ports/{port}."""
    query.Query(request)
    operations = patch.parse(request.json(), escapes=request.version >= 98)
    patch.check_roots(operations, service.ROOTS)
    roots = tuple(operation.root() for operation in operations)
    _require_body_fields(tuple(name for name in roots if name in _GATED_IN_PATCHES), request.version)
    found = await service.change(deps, _ident(request), operations, request.version)
    return wire.ok(shown(request, found, versions.fields("port", request.version)))


@spec.tells("Forget a port", 204)
async def destroy(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/ports/{port}."""
    query.Query(request)
    if not ids.is_uuid(request.args["port"]):
        raise errors.Invalid(f"Expected UUID for port_uuid: {request.args['port']}")
    await service.destroy(deps, request.args["port"].lower())
    return wire.NO_CONTENT


def shown(request: wire.Request, port: node.Port, names: tuple[str, ...]) -> dict[str, Any]:
    """The body of one port."""
    values = msgspec.structs.asdict(port)
    body = {name: values[name] for name in names if name != "links"}
    if "links" in names:
        body["links"] = request.links("ports", port.uuid)
    return body


async def _collection(
    deps: Deps,
    request: wire.Request,
    asked: query.Query,
    within: tuple[str, str] | None = None,
    *,
    detail: bool = False,
) -> wire.Answer:
    """One page of ports; ``within``: the resource whose ports they are, and its name or uuid."""
    _check_forms(asked)
    versions.require_filters("port", asked.names(), request.version)
    names = columns.of_list("port", asked, request.version, _SHORT, detail=detail)
    page = asked.page(_SORTABLE)
    _require_body_fields((page.sort_key,), request.version)
    if not ids.is_uuid(asked.text("node") or ids.new()):
        versions.require(request.version, _NAMES_OF_NODES_SINCE)
    kind, ident = within or ("", "")
    group = ident if kind == "portgroups" else asked.text("portgroup")
    of_node = ident if kind == "nodes" else asked.uuid("node_uuid") or asked.text("node")
    where = {**_where(asked, of_node, group), "project": access.project_of_list(request.caller, "port")}
    if group:
        await access.require(deps, request.caller, "portgroups", group, "baremetal:portgroup:get")
        where["portgroup_uuid"] = (await deps.store.read(group_store.get, group)).uuid
    found = await deps.store.read(_list, page, of_node, where)
    body = {"ports": [shown(request, port, names) for port in found]}
    uuids = [each.uuid for each in found]
    more = columns.repeated(asked, _SHORT, detail=detail, version=request.version)
    path = request.href("v1", *(within or ()), "ports", *(("detail",) if detail else ()))
    return wire.ok(paging.add_next(body, path, page, uuids, more))


def _check_forms(asked: query.Query) -> None:
    """Refuse what names nothing, before anything that the arguments mean."""
    for what in ("node", "portgroup"):
        if ident := asked.text(what):
            query.named(what, ident)
    asked.uuid("node_uuid")
    if (address := asked.text("address")) is not None:
        drafts.check_address(address)


def _where(asked: query.Query, of_node: str | None, group: str | None) -> dict[str, Any]:
    """What ports are listed; a path that leads through a node or group names that one, whatever the query does."""
    address = asked.text("address")
    shards, groups = asked.words("shard"), asked.words("conductor_groups")
    given = [name for name, value in (("node", of_node), ("portgroup", group), ("shard", shards)) if value]
    if len(given) > 1:
        raise errors.Forbidden("Operation not permitted.", hint=f"Give only one of {', '.join(given)}.")
    if groups and (of_node or group or address):
        raise errors.Invalid(
            "Filtering by conductor_groups cannot be combined with node_ident, portgroup_ident, or node address "
            "filters.",
            hint="Leave one out.",
        )
    where: dict[str, Any] = {
        "shard": shards or None,
        "conductor_group": groups or None,
        "description_contains": asked.text("description_contains"),
    }
    return where if address is None else {**where, "address": drafts.check_address(address)}


def _list(connection: Connection, page: Page, of_node: str | None, where: dict[str, Any]) -> list[node.Port]:
    if of_node is None:
        return store.list_page(connection, page, **where)
    owner = node_store.find(connection, of_node)
    project: str | None = where["project"]
    if owner is None or (project is not None and project not in {owner.owner, owner.lessee}):
        raise errors.NotFound(f"Node {of_node} could not be found.")
    return store.list_page(connection, page, node_uuid=owner.uuid, **where)


def _ident(request: wire.Request) -> str:
    """The port of the path: a UUID or a name, whatever the microversion."""
    return query.named("port_ident", request.args["port"])


def _require_body_fields(names: tuple[str, ...], version: int) -> None:
    first = {**versions.since("port"), "node_ident": 94}
    for name in names:
        versions.require(version, first.get(name, 1))
