"""``/v1/volume``: volume connectors and targets, two resources of one form, and what a node has of them.

May not: decide what may change when (services/volumes.py). Invariant: no secret of a target leaves unmasked.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Connection

from ingot.api import access, columns, paging, policy, query, spec, versions, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, ids, patch, secrets, volumes
from ingot.services import volumes as service
from ingot.store import nodes as node_store
from ingot.store import rows, schema
from ingot.store.paging import Page

T = TypeVar("T", volumes.Connector, volumes.Target)
_REDACTED = (
    "** Value redacted: Requires permission baremetal:volume:view_target_properties access. Permission denied. **"
)


_ITEM = spec.Owned(lambda resource: spec.one(resource.word))
_ITEMS = spec.Owned(lambda resource: spec.page(resource.word, resource.word))
_DRAFT = spec.Owned(lambda resource: spec.of(resource.kind.draft))
_PLACES = list[dict[str, str]]


class Resource(Generic[T]):
    """One of the two. ``word``: its name in addresses and lists; ``short``: what a list shows unless told otherwise."""

    def __init__(self, word: str, kind: service.Kind[T], short: tuple[str, ...]) -> None:
        self.word, self.kind = word, kind
        self._short = ("uuid", "node_uuid", *short, "links")
        table = schema.metadata.tables[f"volume_{word}"]
        self._sortable = frozenset(column.name for column in table.c) - rows.JSON_COLUMNS - {"secrets"}

    @spec.tells("Register a volume connector or target", 201, answer=_ITEM, body=_DRAFT)
    async def create(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """POST."""
        query.Query(request)
        body = request.object(self.kind.what)
        await access.require_on_node(deps, request.caller, str(body.get("node_uuid")), "baremetal:volume:create")
        made = await service.create(deps, self.kind, body)
        where = request.href("v1", "volume", self.word, made.uuid)
        return wire.created(self._shown(request, made, None, visible=True), where)

    @spec.tells("List volume connectors or targets, a page at a time", answer=_ITEMS)
    async def index(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """GET of the collection, or of a node's part of it."""
        asked = query.Query(request, *query.PAGING, "fields", "detail", "node", "project")
        names = columns.of_list(self.word, asked, request.version, self._short, detail=False)
        page = asked.page(self._sortable)
        of_node = nodes.node_ident(request) if "node" in request.args else asked.text("node")
        project = None
        if "node" not in request.args:
            project = access.project_of_list(request.caller, "volume", asked.text("project"))
        found = await deps.store.read(self._list, deps, page, of_node, project)
        visible = _visible(request.caller)
        body = {self.word: [self._shown(request, each, names, visible=visible) for each in found]}
        within = ("nodes", request.args["node"]) if "node" in request.args else ()
        url = request.href("v1", *within, "volume", self.word)
        more = columns.repeated(asked, self._short)
        return wire.ok(paging.add_next(body, url, page, [each.uuid for each in found], more))

    @spec.tells("Show a volume connector or target", answer=_ITEM)
    async def show(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """GET of one."""
        names = columns.of_one(self.word, query.Query(request, "fields"), request.version)
        found = await deps.store.read(self.kind.store.get, deps.sealer, self._uuid(request))
        return wire.ok(self._shown(request, found, names, visible=_visible(request.caller)))

    @spec.tells("Change fields of a volume connector or target", answer=_ITEM, body=spec.PATCH)
    async def change(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """PATCH of one."""
        query.Query(request)
        operations = patch.parse(request.json(), escapes=request.version >= 98)
        patch.check_roots(operations, self.kind.roots)
        found = await service.change(deps, self.kind, self._uuid(request), operations)
        return wire.ok(self._shown(request, found, None, visible=_visible(request.caller)))

    @spec.tells("Forget a volume connector or target", 204)
    async def destroy(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """DELETE of one."""
        query.Query(request)
        await service.destroy(deps, self.kind, self._uuid(request))
        return wire.NO_CONTENT

    def _list(
        self, connection: Connection, deps: Deps, page: Page, of_node: str | None, project: str | None
    ) -> list[T]:
        uuid = node_store.get(connection, of_node).uuid if of_node else None
        return self.kind.store.list_page(connection, deps.sealer, page, node_uuid=uuid, project=project)

    def _uuid(self, request: wire.Request) -> str:
        uuid = request.args["ident"]
        if not ids.is_uuid(uuid):
            raise errors.Invalid(f"Expected UUID for {self.kind.what}_uuid: {uuid}")
        return uuid.lower()

    def _shown(
        self, request: wire.Request, found: T, names: tuple[str, ...] | None, *, visible: bool
    ) -> dict[str, Any]:
        """The body of one; ``visible``: the caller may see a target's properties."""
        values: dict[str, Any] = msgspec.to_builtins(found)
        if "properties" in values:
            masked = secrets.split(values["properties"], {})[0]
            values["properties"] = masked if visible else {"redacted_contents": _REDACTED}
        values["links"] = request.links("volume", self.word, found.uuid)
        return {name: values[name] for name in names or versions.fields(self.word, request.version)}


CONNECTORS = Resource("connectors", service.CONNECTOR, ("type", "connector_id"))
TARGETS = Resource("targets", service.TARGET, ("volume_type", "boot_index", "volume_id"))


@spec.tells(
    "Where volume connectors and targets are",
    answer=spec.fields(links=_PLACES, connectors=_PLACES, targets=_PLACES),
)
async def show_root(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/volume and /v1/nodes/{node}/volume: where the two resources are."""
    query.Query(request)
    within = ("nodes", request.args["node"], "volume") if "node" in request.args else ("volume",)
    body = {"links": [{**link, "href": f"{link['href']}/"} for link in request.links(*within)]}
    return wire.ok({**body, **{word: request.links(*within, word) for word in ("connectors", "targets")}})


def _visible(caller: wire.Caller) -> bool:
    return policy.everywhere("baremetal:volume:view_target_properties", caller)
