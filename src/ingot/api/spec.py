"""What a handler tells of itself for the OpenAPI document: a sentence, the body it reads, the answer it gives.

Why beside the handler: a list apart from the code goes stale. Query arguments are not told here, the handler is asked
for them (openapi.py). May not: know a route. Invariant: a shape is JSON Schema (2020-12) made of the types that
convert or hold the very values, or names the resource whose fields api/versions.py lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_type_hints

import msgspec

from ingot.api import versions
from ingot.domain import allocation, errors, inspection_rules, node, patch, states, steplists, volumes

JSON = "application/json"
_Links = list[dict[str, str]]
_KINDS: dict[str, type[msgspec.Struct]] = {
    "node": node.Node,
    "port": node.Port,
    "portgroup": node.Portgroup,
    "chassis": node.Chassis,
    "history": node.HistoryEntry,
    "allocation": allocation.Allocation,
    "connectors": volumes.Connector,
    "targets": volumes.Target,
    "deploy_templates": steplists.DeployTemplate,
    "runbooks": steplists.Runbook,
    "inspection_rules": inspection_rules.Rule,
}
"""The values behind resources, which know the types of their fields."""
_MADE: dict[str, Any] = {
    **dict.fromkeys(("links", "ports", "portgroups", "states", "volume"), _Links),
    "nodes": list[_Links],
    "conductor": str | None,
    # null of sensitive rules
    **dict.fromkeys(("actions", "conditions"), list[dict[str, Any]] | None),
}
"""Fields that no value holds."""
_REFERENCE = "#/components/schemas/{name}"

H = TypeVar("H", bound=Callable[..., Any])


class Schemas:
    """The named schemas of one document, collected while shapes are made."""

    def __init__(self) -> None:
        self.named: dict[str, dict[str, Any]] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type that msgspec knows. Raises errors.Bug when two types have one name."""
        (shape,), parts = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
        for name, part in parts.items():
            if self.named.setdefault(name, part) != part:
                raise errors.Bug(f"Two types of the API's description are called {name}")
        return shape

    def resource(self, word: str) -> dict[str, Any]:
        """A reference to one item of a resource: all fields that api/versions.py knows, with their first version."""
        name = f"resource.{word}"
        if name not in self.named:
            self.named[name] = {}
            self.named[name] = {"type": "object", **self.fields(word, tuple(versions.since(word)))}
        return {"$ref": _REFERENCE.format(name=name)}

    def fields(self, word: str, names: tuple[str, ...]) -> dict[str, Any]:
        """Fields of a resource; no more are shown, and those the microversion or the caller leaves out are missing."""
        known = self._stored(_KINDS.get(word)) | {name: self.of(kind) for name, kind in _MADE.items()}
        since = versions.since(word)
        properties = {name: {**known.get(name, {})} for name in names}
        for name, schema in properties.items():
            if since.get(name, 1) > 1:
                schema["x-since"] = f"1.{since[name]}"
        return {"properties": properties, "additionalProperties": False}

    def _stored(self, kind: type[msgspec.Struct] | None) -> dict[str, Any]:
        """The fields of a domain value. An older microversion may show null where its state has no name yet."""
        if kind is None:
            return {}
        hints = get_type_hints(kind)
        return {name: self.of(Any if hints[name] is states.State else hints[name]) for name in kind.__struct_fields__}


class Shape(msgspec.Struct, frozen=True):
    """What JSON looks like; ``make`` gives its schema and names what it refers to."""

    make: Callable[[Schemas], dict[str, Any]]


class Owned(msgspec.Struct, frozen=True):
    """The shape of a handler that is a method: it depends on whose."""

    of: Callable[[Any], Shape]


class Told(msgspec.Struct, frozen=True):
    """``answer`` None: no body; ``body`` None: none is read. ``media``: content type of the answer. ``also``: a status
    beside ``status`` with the same answer."""

    summary: str
    status: int
    answer: Shape | Owned | None
    body: Shape | Owned | None
    media: str
    also: int | None


_TOLD: dict[Callable[..., Any], Told] = {}


def tells(
    summary: str,
    status: int = 200,
    *,
    answer: Shape | Owned | None = None,
    body: Shape | Owned | None = None,
    media: str = JSON,
    also: int | None = None,
) -> Callable[[H], H]:
    """Say what the decorated handler does."""

    def note(handler: H) -> H:
        _TOLD[handler] = Told(summary, status, answer, body, media, also)
        return handler

    return note


def find(handler: Callable[..., Any]) -> Told | None:
    """What a handler tells, None when it does not."""
    return _TOLD.get(getattr(handler, "__func__", handler))


def shape(told: Shape | Owned, handler: Callable[..., Any]) -> Shape:
    """One of the shapes that ``handler`` told."""
    return told.of(getattr(handler, "__self__", None)) if isinstance(told, Owned) else told


def of(kind: Any) -> Shape:
    """The shape of a type that msgspec knows."""
    return Shape(lambda schemas: schemas.of(kind))


def one(word: str) -> Shape:
    """One item of a resource."""
    return Shape(lambda schemas: schemas.resource(word))


def part(word: str, names: tuple[str, ...]) -> Shape:
    """Some fields of a resource, as they are there."""
    return Shape(lambda schemas: {**schemas.fields(word, names), "type": "object"})


def page(key: str, word: str) -> Shape:
    """A page of a resource below ``key``, with the link to the next one."""
    return listed(key, one(word))


def listed(key: str, item: Shape) -> Shape:
    """A list below ``key``, perhaps with a link to the next page."""
    link = {"type": "string", "format": "uri"}
    return Shape(
        lambda schemas: _object({key: {"type": "array", "items": item.make(schemas)}, "next": link}, required=(key,))
    )


def fields(*optional: str, **kinds: Any) -> Shape:
    """An object of fields: name -> shape, or type that msgspec knows; those of ``optional`` may be missing."""
    required = tuple(name for name in kinds if name not in optional)
    shapes = {name: kind if isinstance(kind, Shape) else of(kind) for name, kind in kinds.items()}
    return Shape(lambda schemas: _object({name: each.make(schemas) for name, each in shapes.items()}, required))


def anything(summary: str, **schema: Any) -> Shape:
    """JSON of which no more is promised than ``schema`` says."""
    return Shape(lambda schemas: {**schema, "description": summary})


def array(item: Shape) -> Shape:
    """A list without a name."""
    return Shape(lambda schemas: {"type": "array", "items": item.make(schemas)})


def words(allowed: Iterable[str]) -> Shape:
    """One of a few words."""
    return Shape(lambda schemas: {"type": "string", "enum": list(allowed)})


PATCH = of(list[patch.Operation])
"""A JSON patch (RFC 6902) of the operations that Ironic knows."""


def _object(properties: dict[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
