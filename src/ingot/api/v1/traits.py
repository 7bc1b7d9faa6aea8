"""``/v1/nodes/{node}/traits``. May not: decide what a lawful trait is (domain/traits.py)."""

from __future__ import annotations

import msgspec

from ingot.api import query, spec, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, schema_texts, typed
from ingot.domain import traits as rules
from ingot.services import traits as service
from ingot.store import nodes as store


class _Traits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a replacement."""

    traits: list[str]


@spec.tells("The traits of a node", answer=spec.of(_Traits))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/traits."""
    query.Query(request)
    found = await deps.store.peek(store.get, nodes.node_ident(request))
    return wire.ok({"traits": found.traits})


@spec.tells("Replace the traits of a node", 204, body=spec.of(_Traits))
async def replace(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/traits."""
    query.Query(request)
    body = request.object("traits")
    try:
        given = typed.convert(body, _Traits).traits
    except msgspec.ValidationError as error:
        text = f"Schema error for body: {schema_texts.told(error, body)}"
        raise errors.Invalid(text, hint='Send {"traits": [...]}.') from error
    checked = tuple(rules.check(trait) for trait in given)
    await service.replace(deps, nodes.node_ident(request), checked)
    return wire.NO_CONTENT


@spec.tells("Take all traits from a node", 204)
async def clear(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/nodes/{node}/traits."""
    query.Query(request)
    await service.replace(deps, nodes.node_ident(request), ())
    return wire.NO_CONTENT


@spec.tells("Give a node a trait", 204)
async def add(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/traits/{trait}."""
    query.Query(request)
    if body := ", ".join(repr(name) for name in request.object("trait")):
        raise errors.Invalid(
            f"Schema error for body: Additional properties are not allowed ({body} was unexpected)", hint="Send none."
        )
    trait = rules.check(request.args["trait"])
    await service.add(deps, nodes.node_ident(request), trait)
    where = request.href("v1", "nodes", request.args["node"], "traits", trait)
    return wire.Answer(204, b"", ((b"location", where.encode()),))


@spec.tells("Take a trait from a node", 204)
async def remove(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/nodes/{node}/traits/{trait}."""
    query.Query(request)
    await service.remove(deps, nodes.node_ident(request), request.args["trait"])
    return wire.NO_CONTENT
