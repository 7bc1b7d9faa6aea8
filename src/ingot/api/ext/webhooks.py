"""``/ingot/v1/webhooks``: places that are told of events. May not: send. Invariant: a key is shown once, when made."""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.api import paging, query, spec, wire
from ingot.deps import Deps
from ingot.domain import errors, ids, patch
from ingot.services import webhooks as service
from ingot.store import webhooks as store

_SORTABLE = frozenset({"uuid", "url", "created_at", "updated_at"})
_ITEM = spec.of(store.Webhook)


class Made(store.Webhook, frozen=True, kw_only=True):
    """A new webhook. ``secret``: the key that signs its deliveries, None when the caller gave it."""

    secret: str | None


@spec.tells("Have a web server told of events", 201, answer=spec.of(Made), body=spec.of(service.Draft))
async def create(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /ingot/v1/webhooks."""
    query.Query(request)
    hook, key = await service.create(deps, request.object("webhook"))
    made = Made(**msgspec.structs.asdict(hook), secret=key)
    return wire.created(made, request.href("ingot", "v1", "webhooks", hook.uuid))


@spec.tells("List webhooks, a page at a time", answer=spec.listed("webhooks", _ITEM))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/webhooks."""
    page = query.Query(request, *query.PAGING).page(_SORTABLE)
    found = await deps.store.read(store.list_page, page)
    body: dict[str, Any] = {"webhooks": found}
    url = request.href("ingot", "v1", "webhooks")
    return wire.ok(paging.add_next(body, url, page, [hook.uuid for hook in found], {}))


@spec.tells("Show one webhook, and how far in the journal of events it is", answer=_ITEM)
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/webhooks/{webhook}."""
    query.Query(request)
    return wire.ok(await deps.store.read(store.get, _uuid(request)))


@spec.tells("Change a webhook; what was put off is tried at once", answer=_ITEM, body=spec.PATCH)
async def change(deps: Deps, request: wire.Request) -> wire.Answer:
    """PATCH /ingot/v1/webhooks/{webhook}."""
    query.Query(request)
    operations = patch.parse(request.json(), escapes=True)
    return wire.ok(await service.change(deps, _uuid(request), operations))


@spec.tells("Forget a webhook and its log", 204)
async def destroy(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /ingot/v1/webhooks/{webhook}."""
    query.Query(request)
    await deps.store.run(store.destroy, _uuid(request))
    return wire.NO_CONTENT


@spec.tells(
    "The newest deliveries of a webhook, and why they failed", answer=spec.fields(deliveries=list[store.Delivery])
)
async def deliveries(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/webhooks/{webhook}/deliveries."""
    query.Query(request)
    return wire.ok({"deliveries": await deps.store.read(store.list_deliveries, _uuid(request))})


def _uuid(request: wire.Request) -> str:
    found = request.args["webhook"]
    if not ids.is_uuid(found):
        raise errors.NotFound(f"Webhook {found} could not be found.")
    return found.lower()
