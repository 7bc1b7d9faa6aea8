"""``/v1/nodes/{node}/firmware``: the firmware versions last read. May not: talk to hardware."""

from __future__ import annotations

from sqlalchemy import Connection

from ingot.api import query, spec, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors
from ingot.store import firmware as store
from ingot.store import nodes as node_store

_NAMES = ("component", "initial_version", "current_version", "last_version_flashed")
_IDENTITY = ("vendor", "model", "serial_number")
_IDENTITY_SINCE = 114


@spec.tells("The firmware versions last read", answer=spec.fields(firmware=list[dict[str, str | None]]))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/firmware."""
    names = query.chosen_fields(request, _NAMES, (*_NAMES, *_IDENTITY), since=1)
    if request.version >= _IDENTITY_SINCE:
        names = (*_NAMES, *_IDENTITY) if names == _NAMES else names
    elif set(names) & set(_IDENTITY):
        raise errors.Invalid(
            f"Fields {', '.join(sorted(set(names) & set(_IDENTITY)))} are not allowed in this API version.",
            hint=f"They require at least API version 1.{_IDENTITY_SINCE}.",
        )
    found = await deps.store.read(_list, nodes.node_ident(request))
    shown = [{name: getattr(one, name) for name in ("created_at", "updated_at", *names)} for one in found]
    return wire.ok({"firmware": shown})


def _list(connection: Connection, ident: str) -> list[store.Record]:
    return store.list_all(connection, node_store.get(connection, ident).uuid)
