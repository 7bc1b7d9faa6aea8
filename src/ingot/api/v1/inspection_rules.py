"""``/v1/inspection_rules``: what is done to nodes whose inspection shows something.

May not: decide what a lawful rule is (domain). Invariant: of a sensitive rule nobody is shown conditions or actions.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.api import columns, paging, query, spec, versions, wire
from ingot.deps import Deps
from ingot.domain import errors, ids, patch
from ingot.domain.inspection_rules import Rule
from ingot.services import inspection_rules as service
from ingot.store import inspection_rules as store

_WORD = "inspection_rules"
_SHORT = ("uuid", "priority", "phase", "description", "links")
_SORTABLE = frozenset({"uuid", "description", "priority", "phase", "sensitive", "created_at", "updated_at"})


@spec.tells("Make an inspection rule", 201, answer=spec.one(_WORD), body=spec.of(service.RuleDraft))
async def create(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/inspection_rules."""
    query.Query(request)
    made = await service.create(deps, request.object("inspection_rule"))
    return wire.created(_shown(request, made, None), request.href("v1", _WORD, made.uuid))


@spec.tells("List inspection rules, a page at a time", answer=spec.page(_WORD, _WORD))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/inspection_rules; ``phase`` is taken and, as by Ironic, chooses nothing: there is one phase."""
    asked = query.Query(request, *query.PAGING, "fields", "detail", "phase")
    names = columns.of_list(_WORD, asked, request.version, _SHORT, detail=False)
    page = asked.page(_SORTABLE)
    found = await deps.store.read(store.list_page, deps.sealer, page)
    body = {_WORD: [_shown(request, rule, names) for rule in found]}
    uuids = [rule.uuid for rule in found]
    return wire.ok(paging.add_next(body, request.href("v1", _WORD), page, uuids, columns.repeated(asked)))


@spec.tells("Show one inspection rule", answer=spec.one(_WORD))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/inspection_rules/{rule}."""
    names = columns.of_one(_WORD, query.Query(request, "fields"), request.version)
    found = await deps.store.read(store.get, deps.sealer, _uuid(request))
    return wire.ok(_shown(request, found, names))


@spec.tells("Change fields of an inspection rule", answer=spec.one(_WORD), body=spec.PATCH)
async def change(deps: Deps, request: wire.Request) -> wire.Answer:
    """PATCH /v1/inspection_rules/{rule}."""
    query.Query(request)
    operations = patch.parse(request.json(), escapes=request.version >= 98)
    patch.check_roots(operations, service.ROOTS)
    found = await service.change(deps, _uuid(request), operations)
    return wire.ok(_shown(request, found, None))


@spec.tells("Delete an inspection rule", 204)
async def destroy(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/inspection_rules/{rule}."""
    query.Query(request)
    await deps.store.run(store.destroy, _uuid(request))
    return wire.NO_CONTENT


@spec.tells("Delete all inspection rules", 204)
async def destroy_all(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/inspection_rules."""
    query.Query(request)
    await deps.store.run(store.destroy_all)
    return wire.NO_CONTENT


def _uuid(request: wire.Request) -> str:
    uuid = request.args["rule"]
    if not ids.is_uuid(uuid):
        raise errors.Invalid(f"Expected UUID for inspection_rule_uuid: {uuid}")
    return uuid.lower()


def _shown(request: wire.Request, rule: Rule, names: tuple[str, ...] | None) -> dict[str, Any]:
    values = msgspec.structs.asdict(rule)
    if rule.sensitive:
        values |= {"conditions": None, "actions": None}
    else:
        values["conditions"] = [_part(one, "op", "args", "loop", "multiple") for one in rule.conditions]
        values["actions"] = [_part(one, "op", "args", "loop") for one in rule.actions]
    values["links"] = request.links(_WORD, rule.uuid)
    return {name: values[name] for name in names or versions.fields(_WORD, request.version)}


def _part(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """A condition or action as Ironic shows it: how a loop counts is told of loops alone."""
    found = {"multiple": "any", **given} if given.get("loop") else {"op": given["op"], "args": given["args"]}
    return {name: found[name] for name in names if name in found}
