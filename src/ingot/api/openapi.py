"""The OpenAPI 3.1 document: made of the route table and of what the handlers tell (spec.py) when first asked for.

Which arguments of the query a handler reads, the handler itself says: it is called with one that nobody knows, and its
refusal names the others. May not: hold a fact about one route. Invariant: every route of the table is in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import msgspec

from ingot.api import auth, query, routing, spec, versions, wire
from ingot.deps import Deps
from ingot.domain import errors

_PROBE = "\0"
_NIL = "00000000-0000-0000-0000-000000000000"
_VERSION = "X-OpenStack-Ironic-API-Version"
_BOOLEAN = {"type": "boolean"}
_UUID = {"type": "string", "format": "uuid"}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1},
    "sort_dir": {"type": "string", "enum": ["asc", "desc"]},
    **dict.fromkeys(("associated", "detail", "maintenance", "retired", "sharded", "include_children"), _BOOLEAN),
    **dict.fromkeys(("persistent", "reset_interfaces"), _BOOLEAN),
    **dict.fromkeys(("instance_uuid", "chassis_uuid", "node_uuid"), _UUID),
}
"""Arguments that are no plain text mean the same wherever they are read."""
_TEXT = {"type": "string"}
_WRAPPED = {
    "type": "object",
    "description": "What a resource refuses, as JSON text within JSON: faultcode, faultstring (the sentence), "
    "debuginfo; or, before a resource was reached, code, title, description.",
    "properties": {"error_message": {"type": "string", "contentMediaType": spec.JSON}},
    "required": ["error_message"],
    "additionalProperties": False,
}
_BARE = {
    "type": "object",
    "description": "What is refused before it is read whole.",
    "properties": {"faultcode": _TEXT, "faultstring": _TEXT},
    "required": ["faultcode", "faultstring"],
    "additionalProperties": False,
}
_UNKNOWN = {
    "type": "object",
    "description": "What is refused because it is not known who asks.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"message": _TEXT, "code": {"type": "integer"}},
            "required": ["message", "code"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}
_ERRORS: dict[int, str] = {
    400: "The request is wrong: the sentence says what to change",
    401: "Who asks is not proved",
    403: "The caller's role does not allow this",
    404: "There is no such thing, or not in this microversion",
    405: "Not in this microversion",
    406: "This microversion is not known, or does not know what was asked for",
    409: "The present state does not allow this",
    413: "The body is over the limit of this route",
    429: "Too many tries; Retry-After says how many seconds to wait",
    500: "A peer answered nonsense, or ingot is at fault",
    503: "The database, a conductor or a BMC does not answer now",
}
_INFO = {
    "title": "ingot",
    "version": "v1",
    "description": "Ironic's API below /v1, by microversion (1.1 to 1.115), and below /ingot/v1 what Ironic lacks. "
    "A field or argument marked x-since exists from that microversion on.",
}
_SECURITY: dict[str, Any] = {
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
}


class Document:
    """Answers ``GET /ingot/v1/openapi.json``. ``routes`` gives the table, of which its own route is a part."""

    def __init__(self, routes: Callable[[], tuple[routing.Route, ...]]) -> None:
        self._routes = routes
        self._body = b""

    @spec.tells("This document", answer=spec.of(dict[str, Any]))
    async def show(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """GET /ingot/v1/openapi.json."""
        query.Query(request)
        if not self._body:
            self._body = msgspec.json.encode(await document(self._routes()))
        return wire.Answer(200, self._body, ((b"content-type", spec.JSON.encode()),))


async def document(routes: tuple[routing.Route, ...]) -> dict[str, Any]:
    """The whole document. Raises errors.Bug for a route that does not tell of itself."""
    schemas = spec.Schemas()
    schemas.named.update({"error": _WRAPPED, "refusal": _BARE, "unknown": _UNKNOWN})
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = await _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "paths": paths,
        "security": [{name: []} for name in _SECURITY],
        "components": {
            "schemas": schemas.named,
            "securitySchemes": _SECURITY,
            "parameters": {"microversion": _microversion()},
            "responses": {f"error{status}": _refused(status, text) for status, text in _ERRORS.items()},
        },
    }


def _microversion() -> dict[str, Any]:
    known = [*(f"1.{number}" for number in range(versions.MIN, versions.MAX + 1)), "latest"]
    return {"name": _VERSION, "in": "header", "schema": {"type": "string", "enum": known, "default": known[0]}}


def _refused(status: int, text: str) -> dict[str, Any]:
    names = {400: ("error", "refusal", "unknown"), 401: ("unknown",), 413: ("error", "refusal")}.get(status, ("error",))
    shapes = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    schema = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    return {"description": text, "content": {spec.JSON: {"schema": schema}}}


async def _operation(route: routing.Route, schemas: spec.Schemas) -> dict[str, Any]:
    told = spec.find(route.handler)
    if told is None:
        raise errors.Bug(f"{route.method} {route.path} tells nothing of itself", hint="Decorate it (api/spec.py).")
    shown: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{re.sub('[^a-z0-9]+', '_', route.path.lower())}".rstrip("_"),
        "summary": told.summary,
        "parameters": await _parameters(route),
        "responses": _responses(route, told, schemas),
        "x-rule": route.rule,
    }
    if route.since > 1:
        shown["x-since"] = f"1.{route.since}"
    if route.public:
        shown["security"] = []
    if told.body is not None and route.method != "GET":
        shape = spec.shape(told.body, route.handler).make(schemas)
        shown["requestBody"] = {"content": {spec.JSON: {"schema": shape}}}
    return shown


async def _parameters(route: routing.Route) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", route.path)
    placed = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    read = await arguments(route, names)
    asked = [{"name": name, "in": "query", "schema": _ARGUMENTS.get(name, _TEXT)} for name in read]
    common = [{"$ref": "#/components/parameters/microversion"}] if _is_versioned(route) else []
    return [*placed, *asked, *common]


async def arguments(route: routing.Route, names: list[str]) -> tuple[str, ...]:
    """Which arguments of the query the route's handler reads; ``names``: its placeholders.

    The handler is stopped at the argument that nobody knows, before it reads more. Raises errors.Bug when it is not.
    """
    request = wire.Request(
        method=route.method,
        base="",
        query=((_PROBE, ""),),
        body=b"",
        version=versions.MAX,
        caller=auth.NOBODY,
        headers={},
        request_id="",
        args=dict.fromkeys(names, _NIL),
    )
    try:
        await route.handler(cast("Deps", None), request)
    except query.Unexpected as refusal:
        return refusal.allowed
    raise errors.Bug(f"{route.method} {route.path} does not look at its arguments", hint="Make a query.Query first.")


def _responses(route: routing.Route, told: spec.Told, schemas: spec.Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {"description": told.summary}
    if told.answer is not None:
        found["content"] = {told.media: {"schema": spec.shape(told.answer, route.handler).make(schemas)}}
    elif told.media != spec.JSON:
        found["content"] = {told.media: {"schema": _TEXT}}
    refused = {str(status): {"$ref": f"#/components/responses/error{status}"} for status in sorted(_statuses(route))}
    if told.also is not None:
        refused[str(told.also)] = found
    return {str(told.status): found, **refused}


def _statuses(route: routing.Route) -> set[int]:
    """How this route may refuse."""
    found = {400, 500, 503}
    if not route.public:
        found |= {401, 403, 429}
    if "{" in route.path or _is_versioned(route):
        found.add(404)
    if _is_versioned(route):
        found |= {route.late, 406}
    if route.limited:
        found.add(429)
    if route.method != "GET":
        found |= {409, 413}
    elif "{" in route.path:
        found.add(409)  # what asks hardware is refused while a run holds the node
    return found


def _is_versioned(route: routing.Route) -> bool:
    return route.path.strip("/").partition("/")[0] not in routing.OWN
