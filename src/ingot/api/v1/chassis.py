"""``/v1/chassis``. Invariant: a chassis is named by its UUID alone."""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.api import columns, paging, query, spec, versions, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, ids, node, patch
from ingot.services import chassis as service
from ingot.services import drafts
from ingot.store import chassis as store

_SHORT = ("uuid", "description", "links")
_SORTABLE = frozenset({"uuid", "description", "created_at", "updated_at"})


@spec.tells("Make a chassis", 201, answer=spec.one("chassis"), body=spec.of(drafts.ChassisDraft))
async def create(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/chassis."""
    query.Query(request)
    made = await service.create(deps, request.object("chassis"))
    body = _shown(request, made, versions.fields("chassis", request.version))
    return wire.created(body, request.href("v1", "chassis", made.uuid))


@spec.tells("List chassis, a page at a time", answer=spec.page("chassis", "chassis"))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/chassis."""
    return await _collection(deps, request, query.Query(request, *query.PAGING, "fields", "detail"), "chassis")


@spec.tells("List chassis with all their fields", answer=spec.page("chassis", "chassis"))
async def index_detail(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/chassis/detail."""
    return await _collection(deps, request, query.Query(request, *query.PAGING), "chassis/detail", detail=True)


@spec.tells("Show one chassis", answer=spec.one("chassis"))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/chassis/{chassis}."""
    asked = query.Query(request, "fields")
    names = columns.of_one("chassis", asked, request.version)
    found = await deps.store.peek(store.get, _ident(request))
    return wire.ok(_shown(request, found, names))


@spec.tells("Change fields of a chassis", answer=spec.one("chassis"), body=spec.PATCH)
async def change(deps: Deps, request: wire.Request) -> wire.Answer:
    """PATCH /v1/chassis/{chassis}."""
    query.Query(request)
    operations = patch.parse(request.json(), escapes=request.version >= 98)
    patch.check_roots(operations, service.ROOTS)
    found = await service.change(deps, _ident(request), operations)
    return wire.ok(_shown(request, found, versions.fields("chassis", request.version)))


@spec.tells("Forget an empty chassis", 204)
async def destroy(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/chassis/{chassis}."""
    query.Query(request)
    await deps.store.run(store.destroy, _ident(request))
    return wire.NO_CONTENT


@spec.tells("List the nodes of a chassis", answer=spec.page("nodes", "node"))
async def index_nodes(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/chassis/{chassis}/nodes."""
    asked = query.Query(request, *query.PAGING, *nodes.FILTERS)
    return await _nodes(deps, request, asked, detail=False)


@spec.tells("List the nodes of a chassis with all their fields", answer=spec.page("nodes", "node"))
async def index_nodes_detail(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/chassis/{chassis}/nodes/detail."""
    asked = query.Query(request, *query.PAGING, *nodes.DETAIL_FILTERS)
    return await _nodes(deps, request, asked, detail=True)


async def _nodes(deps: Deps, request: wire.Request, asked: query.Query, *, detail: bool) -> wire.Answer:
    uuid = _ident(request)
    await deps.store.peek(store.get, uuid)
    path = f"chassis/{uuid}/nodes/detail" if detail else f"chassis/{uuid}/nodes"
    return await nodes.collection(deps, request, asked, path, detail=detail, chassis_uuid=uuid)


async def _collection(
    deps: Deps, request: wire.Request, asked: query.Query, path: str, *, detail: bool = False
) -> wire.Answer:
    versions.require_filters("chassis", asked.names(), request.version)
    names = columns.of_list("chassis", asked, request.version, _SHORT, detail=detail)
    page = asked.page(_SORTABLE)
    found = await deps.store.read(store.list_page, page)
    body = {"chassis": [_shown(request, each, names) for each in found]}
    uuids = [each.uuid for each in found]
    more = columns.repeated(asked, _SHORT, detail=detail, version=request.version)
    return wire.ok(paging.add_next(body, request.href("v1", *path.split("/")), page, uuids, more))


def _shown(request: wire.Request, found: node.Chassis, names: tuple[str, ...]) -> dict[str, Any]:
    values = msgspec.structs.asdict(found)
    body: dict[str, Any] = {name: values[name] for name in names if name in values}
    if "links" in names:
        body["links"] = request.links("chassis", found.uuid)
    if "nodes" in names:
        # A list in a list: Ironic's own answer, which clients may have learned.
        body["nodes"] = [request.links("chassis", found.uuid, "nodes")]
    return body


def _ident(request: wire.Request) -> str:
    ident = request.args["chassis"]
    if not ids.is_uuid(ident):
        raise errors.Invalid(f"Expected UUID for chassis_uuid: {ident}")
    return ident.lower()
