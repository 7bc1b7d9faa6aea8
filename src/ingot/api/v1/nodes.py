"""``/v1/nodes``: create, list, show, patch and delete nodes.

May not: decide what may change when (services/nodes.py). Invariant: reads go from stored text to the body by
node_view.py alone.
"""

from __future__ import annotations

import msgspec

from ingot.api import access, columns, paging, patch_rules, policy, query, spec, versions, wire
from ingot.api.v1 import node_view, redaction
from ingot.deps import Deps
from ingot.domain import errors, hashring, ids, patch, states
from ingot.services import drafts
from ingot.services import nodes as service
from ingot.store import chassis, documents, node_filters, nodes, rows, schema

FILTERS = (*versions.filters_since("node"), "fields")
"""What a list of nodes can be narrowed by, and what it shows of them."""
DETAIL_FILTERS = tuple(name for name in FILTERS if name not in {"fields", "detail"})
_COLUMNS = frozenset(column.name for column in schema.nodes.c) - rows.JSON_COLUMNS
SORTABLE = _COLUMNS.intersection(versions.since("node")) - {"chassis_uuid", "allocation_uuid"}
_FAULTS = ("power failure", "clean failure", "rescue abort failure", "service failure")
_REPEATED = ("associated", "maintenance", "retired")
_FLAGS = (*_REPEATED, "sharded", "include_children")
_NOT_AT_CREATION = frozenset({"protected", "protected_reason"})


@spec.tells("Enrol a node", 201, answer=spec.one("node"), body=spec.of(drafts.NodeDraft))
async def create(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/nodes."""
    query.Query(request)
    body = request.object("node")
    if wrong := sorted(_NOT_AT_CREATION.intersection(body)):
        raise errors.Invalid(
            f"Schema error for node: {', '.join(wrong)} can not be set when a node is made",
            hint="Set it on the active node.",
        )
    draft = drafts.convert(body, drafts.NodeDraft, "node")
    _require_body_fields(tuple(body), request.version)
    made = await service.create(deps, _owned(request.caller, draft), request.version)
    answer = await _show(deps, request, made.uuid, node_view.view(request.version, None))
    location = (b"location", request.href("v1", "nodes", made.uuid).encode())
    return wire.Answer(201, answer.body, (*answer.headers, location))


@spec.tells("List nodes, a page at a time", answer=spec.page("nodes", "node"))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes."""
    asked = query.Query(request, *query.PAGING, *FILTERS)
    return await collection(deps, request, asked, "nodes")


@spec.tells("List nodes with all their fields", answer=spec.page("nodes", "node"))
async def index_detail(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/detail, the older form of ?detail=true."""
    asked = query.Query(request, *query.PAGING, *DETAIL_FILTERS)
    return await collection(deps, request, asked, "nodes/detail", detail=True)


async def collection(
    deps: Deps,
    request: wire.Request,
    asked: query.Query,
    path: str,
    *,
    detail: bool = False,
    chassis_uuid: str | None = None,
) -> wire.Answer:
    """One page of nodes; ``path``: what the link to the next page names."""
    for name in _FLAGS:
        asked.flag(name)
    versions.require_filters("node", asked.names(), request.version)
    names = asked.words("fields")
    wants_detail = detail or bool(asked.flag("detail"))
    if names is not None and wants_detail:
        raise errors.Invalid("Can not specify ?detail=True and fields in the same request.")
    if names is not None:
        shown = node_view.chosen(names, request.version)
    else:
        shown = node_view.view(request.version, None if wants_detail else (*node_view.SHORT, "links"))
    project = access.project_of_list(request.caller, "node", asked.text("project"))
    ring = await deps.members.ring() if asked.text("conductor") else hashring.Ring()
    where = _filter(asked, node_view.looked_after(ring, deps.hostname, asked.text("conductor")), chassis_uuid, project)
    page = asked.page(SORTABLE)
    _require_body_fields((page.sort_key,), request.version)
    if where is not None and where.chassis_uuid is not None:
        await deps.store.read(chassis.get, where.chassis_uuid)
    found = documents.NOTHING
    if where is not None:
        document = await node_view.document(deps, request, shown)
        found = await deps.store.read(nodes.list_documents, where, page, document)
    extra = {name: asked.text(name) for name in _REPEATED if asked.flag(name) and not detail}
    if asked.flag("detail"):
        extra["detail"] = "True"
    elif not detail and request.version >= columns.FIELDS_SINCE:
        short = (name for name in node_view.SHORT if name in shown)
        extra["fields"] = ",".join(names if names is not None else short)
    more = paging.add_next({}, request.href("v1", *path.split("/")), page, found.uuids, extra)
    answer = wire.listing("nodes", found.items, more)
    return await redaction.of_list(deps, request.caller, found.uuids, answer)


@spec.tells("Show one node", answer=spec.one("node"))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}."""
    asked = query.Query(request, "fields")
    names = asked.words("fields")
    shown = node_view.view(request.version, None) if names is None else node_view.chosen(names, request.version)
    return await _show(deps, request, node_ident(request), shown)


@spec.tells("Change fields of a node", answer=spec.one("node"), body=spec.PATCH)
async def change(deps: Deps, request: wire.Request) -> wire.Answer:
    """PATCH /v1/nodes/{node}."""
    asked = query.Query(request, "reset_interfaces")
    reset = asked.flag("reset_interfaces")
    if reset is not None:
        versions.require(request.version, 45)
    operations = patch.parse(request.json(), escapes=request.version >= 98)
    patch.check_roots(operations, service.ROOTS)
    given = (each.root() for each in operations if each.op != "remove" and each.path == f"/{each.root()}")
    _require_body_fields(tuple(given), request.version)  # what is taken away needs no microversion that knows it
    ident = node_ident(request)
    await access.require(deps, request.caller, "nodes", ident, *patch_rules.of_node(operations))
    await _check_owner_moves(deps, request.caller, ident, operations)
    uuid = await service.change(deps, ident, operations, request.version, reset_interfaces=bool(reset))
    return await _show(deps, request, uuid, node_view.view(request.version, None))


@spec.tells("Forget a node", 204)
async def destroy(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/nodes/{node}."""
    query.Query(request)
    await service.destroy(deps, node_ident(request))
    return wire.NO_CONTENT


def node_ident(request: wire.Request) -> str:
    """The node of the path; names are not known before 1.5. Raises errors.NotFound, wire.Unreadable."""
    try:
        return known_ident(request.args["node"], request.version)
    except errors.Invalid as error:
        raise wire.Unreadable(error.message, hint=error.hint) from error


def known_ident(ident: str, version: int) -> str:
    """``ident`` if this microversion may name a node so. Raises errors.NotFound, errors.Invalid."""
    found = query.named("node", ident)
    if version < 5 and not ids.is_uuid(found):
        raise errors.NotFound(f"Node {ident} could not be found.")
    return found


def _owned(caller: wire.Caller, draft: drafts.NodeDraft) -> drafts.NodeDraft:
    """A new node with its owner: who has no role in the whole system owns it. Raises errors.Invalid."""
    if caller.system:
        return draft
    if draft.owner and draft.owner != caller.project:
        raise errors.Invalid(
            "Cannot create a node as a project scoped admin with an owner other than your own project.",
            hint="Leave the owner out.",
        )
    return msgspec.structs.replace(draft, owner=caller.project)


async def _check_owner_moves(
    deps: Deps, caller: wire.Caller, ident: str, operations: tuple[patch.Operation, ...]
) -> None:
    """Raise errors.Conflict where the node is in use and this caller may not give it another owner then."""
    rule = "baremetal:node:update_owner_provisioned"
    if all(each.root() != "owner" for each in operations) or policy.everywhere(rule, caller):
        return
    found = await deps.store.read(nodes.get_row, ident, ("uuid", "provision_state"))
    if found["provision_state"] == states.State.ACTIVE:
        raise errors.Conflict(
            f'Cannot update owner of node "{found["uuid"]}" while it is in state "{states.State.ACTIVE}".',
            hint="Ask an administrator of the whole system.",
        )


def _require_body_fields(names: tuple[str, ...], version: int) -> None:
    first = versions.since("node")
    for name in names:
        versions.require(version, first.get(name, 1))


async def _show(deps: Deps, request: wire.Request, ident: str, shown: tuple[str, ...]) -> wire.Answer:
    document = await node_view.document(deps, request, shown)
    answer = wire.ready(await deps.store.peek(nodes.get_document, ident, document))
    return await redaction.of_one(deps, request.caller, ident, answer)


def _filter(
    asked: query.Query, looked_after: node_filters.LookedAfter | None, chassis_uuid: str | None, project: str | None
) -> node_filters.Filter | None:
    """The filter of a list; None when nothing can match."""
    if asked.text("conductor") is not None and looked_after is None:
        return None
    state = asked.text("provision_state")
    if state is not None and state not in set(states.State):
        raise errors.Invalid(
            f'Provision state "{state}" is not valid', hint=f"States are: {', '.join(sorted(states.State))}."
        )
    fault = asked.text("fault")
    if fault is not None and fault not in _FAULTS:
        raise errors.Invalid(
            f'Unrecognized fault "{fault}" is specified, allowed faults are {_FAULTS}', hint="Choose one."
        )
    return node_filters.Filter(
        associated=asked.flag("associated"),
        instance_uuid=asked.uuid("instance_uuid"),
        maintenance=asked.flag("maintenance"),
        provision_state=state,
        driver=asked.text("driver"),
        resource_class=asked.text("resource_class"),
        chassis_uuid=chassis_uuid or asked.uuid("chassis_uuid"),
        fault=fault,
        conductor_group=asked.text("conductor_group"),
        owner=asked.text("owner"),
        lessee=asked.text("lessee"),
        project=project,
        shard=asked.words("shard"),
        sharded=asked.flag("sharded"),
        retired=asked.flag("retired"),
        description_contains=asked.text("description_contains"),
        instance_name=asked.text("instance_name"),
        parent_node=asked.text("parent_node"),
        include_children=bool(asked.flag("include_children")),
        looked_after=looked_after,
    )
