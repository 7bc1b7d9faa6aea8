"""``/v1/conductors``: who works, and who was last seen when. Invariant: read only."""

from __future__ import annotations

from typing import Any

from ingot.api import columns, query, spec, wire
from ingot.deps import Deps
from ingot.domain import errors
from ingot.store import conductors as store

_SHORT = ("hostname", "conductor_group", "alive", "links")
_ALIVE = 60.0
"""Seconds after its last sign of life until a conductor shows as dead, as in Ironic."""
_SORTABLE = frozenset({"hostname", "conductor_group", "created_at", "updated_at"})


@spec.tells("The conductors, and when each was last seen", answer=spec.page("conductors", "conductor"))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/conductors."""
    asked = query.Query(request, *query.PAGING, "fields", "detail")
    names = columns.of_list("conductor", asked, request.version, _SHORT, detail=False)
    found = await deps.store.read(store.list_all)
    return wire.ok({"conductors": [_shown(deps, request, each, names) for each in _page(asked, found)]})


@spec.tells("Show one conductor", answer=spec.one("conductor"))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/conductors/{hostname}."""
    asked = query.Query(request, "fields")
    names = columns.of_one("conductor", asked, request.version)
    found = await deps.store.read(store.get, request.args["hostname"])
    return wire.ok(_shown(deps, request, found, names))


def _page(asked: query.Query, found: list[store.Conductor]) -> list[store.Conductor]:
    """The part asked for. There are few conductors, so the whole list is at hand; its marker is a hostname."""
    marker = asked.text("marker")
    page = asked.page(_SORTABLE, by_uuid=False)
    if page.sort_key != "id":
        found = sorted(found, key=lambda each: str(getattr(each, page.sort_key) or ""))
    if page.descending:
        found = found[::-1]
    if marker is not None:
        names = [each.hostname for each in found]
        if marker not in names:
            raise errors.NotFound(f"Conductor {marker} could not be found.")
        found = found[names.index(marker) + 1 :]
    return found[: page.limit]


def _shown(deps: Deps, request: wire.Request, found: store.Conductor, names: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "hostname": found.hostname,
        "conductor_group": found.conductor_group,
        "alive": found.online and deps.clock() - found.seen_at < _ALIVE,
        "drivers": found.drivers,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "links": [
            {"href": request.href("v1", "conductors", found.hostname), "rel": "self"},
            {"href": request.href("conductors", found.hostname), "rel": "bookmark"},
        ],
    }
    return {name: values[name] for name in names}
