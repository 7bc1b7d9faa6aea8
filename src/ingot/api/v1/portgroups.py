"""``/v1/portgroups`` and ``/v1/nodes/{node}/portgroups``. May not: decide what may change when (services)."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection

from ingot.api import access, columns, paging, query, spec, versions, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, node, patch
from ingot.services import drafts
from ingot.services import portgroups as service
from ingot.store import nodes as node_store
from ingot.store import portgroups as store
from ingot.store import rows, schema
from ingot.store.paging import Page

_SHORT = ("uuid", "address", "name", "links")
_FILTERS = (*versions.filters_since("portgroup"), "fields")
_ALL = (*query.PAGING, *_FILTERS)
_OF_DETAIL = tuple(name for name in _ALL if name not in {"fields", "detail"})
_SORTABLE = frozenset(column.name for column in schema.portgroups.c) - rows.JSON_COLUMNS
_REFUSED_EARLY = ("mode", "properties", "dynamic_portgroup")
"""Fields that cannot be asked for before their microversion; others are newer too, but Ironic never refused them."""


@spec.tells(
    "Join network cards of a node into a port group",
    201,
    answer=spec.one("portgroup"),
    body=spec.of(drafts.PortgroupDraft),
)
async def create(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/portgroups."""
    query.Query(request)
    body = request.object("portgroup")
    draft = drafts.convert(body, drafts.PortgroupDraft, "portgroup")
    await access.require_on_node(deps, request.caller, draft.node_uuid, "baremetal:portgroup:create")
    _require_fields(tuple(name for name in body if body[name]), request.version)
    made = await service.create(deps, draft)
    names = versions.fields("portgroup", request.version)
    return wire.created(_shown(request, made, names), request.href("v1", "portgroups", made.uuid))


@spec.tells("List port groups, a page at a time", answer=spec.page("portgroups", "portgroup"))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/portgroups."""
    return await _collection(deps, request, query.Query(request, *_ALL))


@spec.tells("List port groups with all their fields", answer=spec.page("portgroups", "portgroup"))
async def index_detail(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/portgroups/detail."""
    return await _collection(deps, request, query.Query(request, *_OF_DETAIL), detail=True)


@spec.tells("List the port groups of a node", answer=spec.page("portgroups", "portgroup"))
async def index_of_node(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/portgroups."""
    asked = query.Query(request, *_ALL)
    return await _collection(deps, request, asked, nodes.node_ident(request))


@spec.tells("List the port groups of a node with all their fields", answer=spec.page("portgroups", "portgroup"))
async def index_of_node_detail(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/portgroups/detail."""
    asked = query.Query(request, *_OF_DETAIL)
    return await _collection(deps, request, asked, nodes.node_ident(request), detail=True)


@spec.tells("Show one port group", answer=spec.one("portgroup"))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/portgroups/{portgroup}."""
    asked = query.Query(request, "fields")
    names = _chosen(asked, request.version) or versions.fields("portgroup", request.version)
    found = await deps.store.peek(store.get, group_ident(request))
    return wire.ok(_shown(request, found, names))


@spec.tells("Change fields of a port group", answer=spec.one("portgroup"), body=spec.PATCH)
async def change(deps: Deps, request: wire.Request) -> wire.Answer:
    """PATCH /v1/portgroups/{portgroup}."""
    query.Query(request)
    operations = patch.parse(request.json(), escapes=request.version >= 98)
    _require_fields(tuple(operation.root() for operation in operations), request.version)
    patch.check_roots(operations, service.ROOTS)
    found = await service.change(deps, group_ident(request), operations, request.version)
    return wire.ok(_shown(request, found, versions.fields("portgroup", request.version)))


@spec.tells("Forget a port group", 204)
async def destroy(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/portgroups/{portgroup}."""
    query.Query(request)
    await service.destroy(deps, group_ident(request))
    return wire.NO_CONTENT


def group_ident(request: wire.Request) -> str:
    """The port group of the path: a UUID or a name. Raises errors.Invalid for what can be neither."""
    return query.named("portgroup", request.args["portgroup"])


def _shown(request: wire.Request, group: node.Portgroup, names: tuple[str, ...]) -> dict[str, Any]:
    values = msgspec.structs.asdict(group)
    values["links"] = request.links("portgroups", group.uuid)
    values["ports"] = request.links("portgroups", group.uuid, "ports")
    return {name: values[name] for name in names}


async def _collection(
    deps: Deps, request: wire.Request, asked: query.Query, of_node: str | None = None, *, detail: bool = False
) -> wire.Answer:
    versions.require_filters("portgroup", asked.names(), request.version)
    chosen = _chosen(asked, request.version)
    if chosen is not None and asked.flag("detail"):
        raise errors.Invalid("Can not specify ?detail=True and fields in the same request.")
    # In lists Ironic hides no field by its microversion.
    whole = versions.fields("portgroup", versions.MAX) if detail or asked.flag("detail") else _SHORT
    page = asked.page(_SORTABLE)
    _require_fields((page.sort_key,), request.version)
    where = _where(asked, of_node)
    if of_node is None:
        where["project"] = access.project_of_list(request.caller, "portgroup")
    found = await deps.store.read(_list, page, of_node or asked.text("node"), where)
    body = {"portgroups": [_shown(request, group, chosen or whole) for group in found]}
    uuids = [each.uuid for each in found]
    within = ("nodes", of_node) if of_node else ()
    path = request.href("v1", *within, "portgroups", *(("detail",) if detail else ()))
    more = columns.repeated(asked, _SHORT, detail=detail)
    return wire.ok(paging.add_next(body, path, page, uuids, more))


def _chosen(asked: query.Query, version: int) -> tuple[str, ...] | None:
    fields = asked.words("fields")
    if fields is None:
        return None
    versions.require_fields("portgroup", fields, versions.MAX)
    _require_fields(fields, version)
    return tuple(dict.fromkeys((*fields, "links")))


def _where(asked: query.Query, of_node: str | None) -> dict[str, Any]:
    address = asked.text("address")
    if address is not None:
        address = drafts.check_address(address)
    if ident := asked.text("node"):
        query.named("node", ident)
    given = [name for name in ("address", "shard", "conductor_groups") if asked.text(name)]
    given += ["node"] if of_node or asked.text("node") else []
    if len(given) > 1:
        raise errors.Invalid(
            "Filtering by node, address, or shard simultaneously is not supported.", hint=f"Give one of {given}."
        )
    return {
        "address": address,
        "shard": asked.words("shard") or None,
        "conductor_group": asked.words("conductor_groups") or None,
    }


def _list(connection: Connection, page: Page, of_node: str | None, where: dict[str, Any]) -> list[node.Portgroup]:
    if of_node is None:
        return store.list_page(connection, page, **where)
    owner = node_store.find(connection, of_node)
    project: str | None = where.get("project")
    if owner is None or (project is not None and project not in {owner.owner, owner.lessee}):
        raise errors.NotFound(f"Node {of_node} could not be found.")  # one that is hidden is answered like none
    return store.list_page(connection, page, node_uuid=owner.uuid, **where)


def _require_fields(names: tuple[str, ...], version: int) -> None:
    known = versions.since("portgroup")
    for name in names:
        if name in _REFUSED_EARLY:
            versions.require(version, known[name])
