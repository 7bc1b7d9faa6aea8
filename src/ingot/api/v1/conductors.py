"""``/v1/conductors``: who works, and who was last seen when. Invariant: read only."""

from __future__ import annotations

from typing import Any

from ingot.api import columns, paging, query, spec, wire
from ingot.deps import Deps
from ingot.domain import errors
from ingot.store import conductors as store
from ingot.store.paging import Page

_SHORT = ("hostname", "conductor_group", "alive", "links")
_SORTABLE = frozenset({"hostname", "conductor_group", "created_at", "updated_at"})


@spec.tells("The conductors, and when each was last seen", answer=spec.page("conductors", "conductor"))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/conductors."""
    asked = query.Query(request, *query.PAGING, "fields", "detail")
    names = columns.of_list("conductor", asked, request.version, _SHORT, detail=False)
    found = await deps.store.read(store.list_all)
    page = asked.page(_SORTABLE, by_uuid=False)
    shown = _page(page, found)
    body = {"conductors": [_shown(deps, request, each, names) for each in shown]}
    more = columns.repeated(asked, _SHORT)
    return wire.ok(
        paging.add_next(body, request.href("v1", "conductors"), page, [each.hostname for each in shown], more)
    )


@spec.tells("Show one conductor", answer=spec.one("conductor"))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/conductors/{hostname}."""
    asked = query.Query(request, "fields")
    names = columns.of_one("conductor", asked, request.version)
    found = await deps.store.read(store.get, request.args["hostname"])
    return wire.ok(_shown(deps, request, found, names))


def _page(page: Page, found: list[store.Conductor]) -> list[store.Conductor]:
    """The part asked for. There are few conductors, so the whole list is at hand; its marker is a hostname."""
    if page.sort_key != "id":
        found = sorted(found, key=lambda each: str(getattr(each, page.sort_key) or ""))
    if page.descending:
        found = found[::-1]
    if page.marker is not None:
        names = [each.hostname for each in found]
        if page.marker not in names:
            raise errors.NotFound(f"Conductor {page.marker} could not be found.")
        found = found[names.index(page.marker) + 1 :]
    return found[: page.limit]


def _shown(deps: Deps, request: wire.Request, found: store.Conductor, names: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "hostname": found.hostname,
        "conductor_group": found.conductor_group,
        "alive": found.online and deps.clock() - found.seen_at < deps.settings.lease,
        "drivers": found.drivers,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "links": request.links("conductors", found.hostname),
    }
    return {name: values[name] for name in names}
