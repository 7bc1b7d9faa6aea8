"""Creating and changing inspection rules: their form, one unit of work each. May not: apply one (flows/rules.py)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, inspection_rules, patch, schema_texts, typed
from ingot.store import inspection_rules as store

ROOTS = ("description", "priority", "sensitive", "phase", "conditions", "actions")
_FIXED = ("uuid", "created_at", "updated_at")


class RuleDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An inspection rule as clients write it."""

    actions: list[dict[str, Any]]
    conditions: list[dict[str, Any]] = []
    description: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    phase: Annotated[str, msgspec.Meta(max_length=16)] = "main"
    priority: Annotated[int, msgspec.Meta(ge=0)] = 0
    sensitive: bool | None = None
    uuid: str | None = None


async def create(deps: Deps, body: dict[str, Any]) -> inspection_rules.Rule:
    """Store a new rule. Raises errors.Invalid, Conflict (uuid taken)."""
    return await deps.store.run(store.create, deps.sealer, _make(body, {}))


async def change(deps: Deps, uuid: str, operations: tuple[patch.Operation, ...]) -> inspection_rules.Rule:
    """Apply a JSON patch to a rule. Raises errors.NotFound, Invalid."""
    return await deps.store.run(_change, deps, uuid, operations)


def _change(
    connection: Connection, deps: Deps, uuid: str, operations: tuple[patch.Operation, ...]
) -> inspection_rules.Rule:
    found = store.get(connection, deps.sealer, uuid)
    before = {name: getattr(found, name) for name in ROOTS}
    fixed = {name: getattr(found, name) for name in _FIXED}
    after = patch.apply({**before, **fixed}, operations)
    if found.sensitive and not after.get("sensitive"):
        asked = [{"op": each.op, "path": each.path} for each in operations]
        raise errors.Invalid(
            f"Couldn't apply patch '{asked}'. Reason: Inspection rules cannot have the sensitive flag unset.",
            hint="Delete the rule and make another one.",
        )
    body = {name: after[name] for name in ROOTS if name in after}
    value = _make({**body, "uuid": uuid}, {"created_at": found.created_at, "updated_at": found.updated_at})
    if value != found:
        store.change(connection, deps.sealer, value)
    return store.get(connection, deps.sealer, uuid)


def _make(body: dict[str, Any], kept: dict[str, Any]) -> inspection_rules.Rule:
    priority = body.get("priority")
    if isinstance(priority, str) and priority.isdecimal() and len(priority) < 9:
        body = {**body, "priority": int(priority)}  # the baremetal command sends it so
    try:
        draft = typed.convert(body, RuleDraft)
    except msgspec.ValidationError as error:
        text = f"Schema error: {schema_texts.told(error, body)}"
        raise errors.Invalid(text, hint="Correct the field and send again.") from error
    if draft.uuid is not None and not ids.is_uuid(draft.uuid):
        raise errors.Invalid(f"Expected UUID for uuid: {draft.uuid}")
    given = msgspec.structs.asdict(draft)
    given |= {"uuid": (draft.uuid or ids.new()).lower(), "sensitive": bool(draft.sensitive), **kept}
    rule = inspection_rules.Rule(**given)
    inspection_rules.check(rule)
    return rule
