"""``/v1/nodes/{node}/bios``: the firmware settings last read. May not: talk to hardware."""

from __future__ import annotations

import typing
from typing import Any

from sqlalchemy import Connection

from ingot.api import query, spec, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.store import bios as store
from ingot.store import nodes as node_store

_SHORT = ("name", "value")
_LONG = (
    *_SHORT,
    "attribute_type",
    "allowable_values",
    "lower_bound",
    "max_length",
    "min_length",
    "read_only",
    "reset_required",
    "unique",
    "upper_bound",
)
_REGISTRY = 74


class _Setting(store.Record, frozen=True, kw_only=True):
    """A setting as it is shown; which fields, the microversion and the arguments say."""

    links: list[dict[str, str]]


_HINTS = typing.get_type_hints(_Setting)


@spec.tells("The firmware settings last read", answer=spec.fields(bios=spec.array(spec.fields(*_HINTS, **_HINTS))))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/bios."""
    names = query.chosen_fields(request, _SHORT, _LONG, since=_REGISTRY)
    _, found = await deps.store.read(_list, nodes.node_ident(request))
    return wire.ok({"bios": [_shown(request, request.args["node"], one, names) for one in found]})


@spec.tells("One firmware setting, below its name", answer=spec.of(dict[str, _Setting]))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/bios/{setting}: below its name."""
    query.Query(request)
    uuid, found = await deps.store.read(_get, nodes.node_ident(request), request.args["setting"])
    names = _LONG if request.version >= _REGISTRY else _SHORT
    return wire.ok({found.name: _shown(request, uuid, found, names)})


def _shown(request: wire.Request, ident: str, record: store.Record, names: tuple[str, ...]) -> dict[str, Any]:
    own = ("nodes", ident, "bios", record.name)
    body: dict[str, Any] = {name: getattr(record, name) for name in ("created_at", "updated_at", *names)}
    if "allowable_values" in body and body["allowable_values"] is None:
        body["allowable_values"] = []
    return {**body, "links": request.links(*own)}


def _list(connection: Connection, ident: str) -> tuple[str, list[store.Record]]:
    uuid = node_store.get(connection, ident).uuid
    return uuid, store.list_all(connection, uuid)


def _get(connection: Connection, ident: str, name: str) -> tuple[str, store.Record]:
    uuid = node_store.get(connection, ident).uuid
    return uuid, store.get(connection, uuid, name)
