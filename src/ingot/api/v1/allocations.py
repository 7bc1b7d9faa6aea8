"""``/v1/allocations`` and ``/v1/nodes/{node}/allocation``. May not: choose a node (services/allocations.py)."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection

from ingot.api import access, columns, paging, policy, query, spec, versions, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import allocation, errors, ids, patch
from ingot.services import allocations as service
from ingot.store import allocations as store
from ingot.store import nodes as node_store
from ingot.store.paging import Page

_FILTERS = ("node", "resource_class", "state", "owner")
_OWNER_SINCE = 60
_SORTABLE = frozenset(
    {"uuid", "name", "state", "owner", "resource_class", "last_error", "created_at", "updated_at"},
)


@spec.tells("Ask for a node", 201, answer=spec.one("allocation"), body=spec.of(service.AllocationDraft))
async def create(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/allocations."""
    query.Query(request)
    wanted = service.draft(request.object("allocation"), request.version)
    project = _project(request.caller, wanted.owner)
    if not wanted.owner and not request.caller.system:
        wanted = msgspec.structs.replace(wanted, owner=request.caller.project)
    if wanted.node:
        await _require_node(deps, request.caller, wanted.node)
    made = await service.create(deps, wanted, project)
    return wire.created(_shown(request, made, None), request.href("v1", "allocations", made.uuid))


@spec.tells("List allocations, a page at a time", answer=spec.page("allocations", "allocation"))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/allocations."""
    asked = query.Query(request, *query.PAGING, *_FILTERS, "fields")
    names = _fields(asked, request.version)
    if asked.text("owner") is not None:
        versions.require(request.version, _OWNER_SINCE)
    page = asked.page(_SORTABLE)
    given = {name: asked.text(name) for name in _FILTERS}
    given["owner"] = access.project_of_list(request.caller, "allocation", given["owner"])
    if given["node"] is not None:
        await _require_node(deps, request.caller, given["node"])
    found = await deps.store.read(_list, page, given)
    body = {"allocations": [_shown(request, each, names) for each in found]}
    uuids = [each.uuid for each in found]
    more = {**columns.repeated(asked), **{name: asked.text(name) for name in _FILTERS}}
    return wire.ok(paging.add_next(body, request.href("v1", "allocations"), page, uuids, more))


@spec.tells("Show one allocation", answer=spec.one("allocation"))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/allocations/{allocation}."""
    names = _fields(query.Query(request, "fields"), request.version)
    return wire.ok(_shown(request, await deps.store.peek(store.get, _ident(request)), names))


@spec.tells("Change the name or extra of an allocation", answer=spec.one("allocation"), body=spec.PATCH)
async def change(deps: Deps, request: wire.Request) -> wire.Answer:
    """PATCH /v1/allocations/{allocation}."""
    query.Query(request)
    operations = patch.parse(request.json(), escapes=request.version >= 98)
    for operation in operations:
        if isinstance(operation.value, list | float):
            raise errors.Invalid(f"Schema error for patch: the value of {operation.path} is a list or a fraction")
    found = await service.change(deps, _ident(request), operations)
    return wire.ok(_shown(request, found, None))


@spec.tells("Give back an allocation and its node", 204)
async def destroy(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/allocations/{allocation}."""
    query.Query(request)
    await service.destroy(deps, _ident(request))
    return wire.NO_CONTENT


@spec.tells("Show the allocation that holds a node", answer=spec.one("allocation"))
async def show_of_node(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/allocation; an owner that the microversion hides may be asked for, and stays hidden."""
    asked = query.Query(request, "fields").words("fields")
    try:
        await deps.store.read(node_store.get, nodes.node_ident(request))
    except errors.NotFound as error:
        raise errors.Invalid(error.message, hint=error.hint) from error
    found = await _of_node(deps, request, "baremetal:allocation:get")
    wrong = [name for name in asked or () if name not in versions.since("allocation")]
    if wrong:
        raise errors.Invalid(f'Field(s) "{", ".join(wrong)}" are not valid')
    shown = versions.fields("allocation", request.version)
    names = None if asked is None else (*(name for name in asked if name in shown), "links")
    return wire.ok(_shown(request, found, names))


@spec.tells("Give back a node that an allocation holds", 204)
async def destroy_of_node(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/nodes/{node}/allocation."""
    query.Query(request)
    found = await _of_node(deps, request, "baremetal:allocation:delete")
    await service.destroy(deps, found.uuid)
    return wire.NO_CONTENT


async def _of_node(deps: Deps, request: wire.Request, rule: str) -> allocation.Allocation:
    """The allocation of the path's node, if the caller may do this to it."""
    found = await deps.store.read(service.get_of_node, nodes.node_ident(request))
    policy.enforce(rule, request.caller, policy.Tenancy(found.owner))
    return found


async def _require_node(deps: Deps, caller: wire.Caller, ident: str) -> None:
    """A node named in a body or filter that is hidden from the caller is as wrong as one that is not there."""
    try:
        await access.require(deps, caller, "nodes", ident, "baremetal:node:get")
    except errors.NotFound as error:
        raise errors.Invalid(error.message, hint=error.hint) from error


def _project(caller: wire.Caller, owner: str | None) -> str | None:
    """The project whose an allocation must be, None for a caller who chooses. Raises errors.Forbidden."""
    chooser = "baremetal:allocation:create_restricted"
    if policy.allows(chooser, caller):
        return None
    if owner and owner != caller.project:
        policy.enforce(chooser, caller)
    return caller.project


def _ident(request: wire.Request) -> str:
    ident = request.args["allocation"]
    if not ids.is_label(ident):
        raise errors.Invalid(f"Expected a logical name or UUID but received {ident[:300]}.")
    return ident


def _fields(asked: query.Query, version: int) -> tuple[str, ...] | None:
    names = asked.words("fields")
    known = versions.fields("allocation", version)
    wrong = [name for name in names or () if name not in known]
    if wrong:
        raise errors.Invalid(f"Schema error: '{wrong[0]}' is not one of {list(known)}", hint="Choose one of them.")
    return None if names is None else (*names, "links")


def _shown(request: wire.Request, found: allocation.Allocation, names: tuple[str, ...] | None) -> dict[str, Any]:
    values = msgspec.structs.asdict(found)
    values["links"] = request.links("allocations", found.uuid)
    return {name: values[name] for name in names or versions.fields("allocation", request.version)}


def _list(connection: Connection, page: Page, given: dict[str, str | None]) -> list[allocation.Allocation]:
    where = dict(given)
    ident = where.pop("node")
    if ident is not None:
        of_node = node_store.find(connection, ident.lower() if ids.is_uuid(ident) else ident)
        if of_node is None:
            raise errors.Invalid(f"Node {ident[:300]} could not be found.")
        where["node_uuid"] = of_node.uuid
    return store.list_page(connection, page, **where)
