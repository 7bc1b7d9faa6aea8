"""Creating and changing chassis: one unit of work each. May not: look at nodes beyond counting them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import ids, node, patch
from ingot.services.drafts import ChassisDraft, convert
from ingot.store import chassis

ROOTS = ("description", "extra")


async def create(deps: Deps, body: dict[str, Any]) -> node.Chassis:
    """Store a new chassis. Raises errors.Invalid, errors.Conflict (uuid taken)."""
    draft = convert(body, ChassisDraft, "chassis")
    value = node.Chassis(uuid=(draft.uuid or ids.new()).lower(), description=draft.description, extra=draft.extra or {})
    return await deps.store.run(chassis.create, value)


async def change(deps: Deps, uuid: str, operations: tuple[patch.Operation, ...]) -> node.Chassis:
    """Apply a JSON patch to a chassis. Raises errors.NotFound, errors.Invalid."""
    return await deps.store.run(_change, uuid, operations)


def _change(connection: Connection, uuid: str, operations: tuple[patch.Operation, ...]) -> node.Chassis:
    found = chassis.get(connection, uuid)
    after = patch.apply({"description": found.description, "extra": found.extra}, operations)
    draft = convert(after, ChassisDraft, "patch")
    chassis.change(connection, found.uuid, description=draft.description, extra=draft.extra or {})
    return chassis.get(connection, found.uuid)
