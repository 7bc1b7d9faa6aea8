"""Creating, changing and deleting nodes: the rules of what may be written when, each use case one unit of work.

May not: change a provision state or touch hardware. Invariant: a secret reaches the database only sealed; the public
columns hold its mask.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, node, patch, secrets, states
from ingot.services import changes, network_data
from ingot.services.drafts import NodeDraft, check_properties, convert
from ingot.store import allocations, chassis, history, nodes

_SEALED = ("driver_info", "instance_info")
ROOTS = tuple(name for name in NodeDraft.__struct_fields__ if name != "uuid")
"""The fields a patch may name."""


async def create(deps: Deps, draft: NodeDraft, version: int) -> node.Node:
    """Store a new node; ``version``: microversion 1.N, which decides its first state and how names look.

    Raises errors.Invalid (a field, an unknown driver or chassis), errors.Conflict (uuid or name taken).
    """
    uuid = (draft.uuid or ids.new()).lower()
    if draft.name is not None:
        _check_name(draft.name, version, f"Cannot create node with invalid name '{draft.name}'")
    check_properties(draft.properties)
    if draft.network_data:
        network_data.check(draft.network_data)
    values = _columns(draft)
    values.update({name: values[name] or None for name in ("owner", "resource_class")})
    values.update(_interfaces(deps, draft, draft.driver))
    public, sealed = _seal(deps, uuid, values, {})
    state = states.State.ENROLL if version >= 11 else states.State.AVAILABLE
    fresh = node.Node(uuid=uuid, provision_state=state, **{**values, **public})
    return await deps.store.run(_create, fresh, sealed)


async def change(
    deps: Deps, ident: str, operations: tuple[patch.Operation, ...], version: int, *, reset_interfaces: bool = False
) -> str:
    """Apply a JSON patch to a node and return its uuid.

    Raises errors.NotFound, Invalid (the patch or a value), Locked, Conflict (not in this state).
    """
    for each in operations:
        if each.path == "/network_data" and each.op != "remove":
            network_data.check(each.value)
    looks_further = not ids.is_uuid(ident) or any(each.root() == "parent_node" for each in operations)
    of = None if looks_further else ident
    return await deps.store.run_of(of, _change, deps, ident, operations, version, reset_interfaces)


async def destroy(deps: Deps, ident: str) -> None:
    """Remove a node with all that belongs to it. Raises errors.NotFound, Forbidden (protected), Locked, Conflict."""
    await deps.store.run(_destroy, ident)


def refuse_locked(found: node.Node) -> None:
    """Raise errors.Locked while a conductor works on the node."""
    if found.reservation is not None:
        raise locked(found)


def locked(found: node.Node) -> errors.Locked:
    """The refusal of a node that a conductor works on."""
    return errors.Locked(
        f"Node {found.uuid} is locked by host {found.reservation}, please retry after the current operation is "
        "completed."
    )


def _create(connection: Connection, fresh: node.Node, sealed: str | None) -> node.Node:
    _check_chassis(connection, fresh.chassis_uuid)
    if fresh.parent_node is not None:
        parent = _get_parent(connection, fresh, fresh.parent_node)
        fresh = msgspec.structs.replace(fresh, parent_node=parent.uuid)
    return nodes.create(connection, fresh, sealed)


def _change(
    connection: Connection,
    deps: Deps,
    ident: str,
    operations: tuple[patch.Operation, ...],
    version: int,
    reset_interfaces: bool,
) -> str:
    found = nodes.get(connection, ident)
    touched = {operation.root() for operation in operations}
    _check_parent(connection, found, operations)
    changes.check_state(found, operations)
    _check_owner(connection, found, operations)
    before = {name: getattr(found, name) for name in ROOTS}
    after = patch.apply(before, operations)
    draft = convert({key: value for key, value in after.items() if key in ROOTS}, NodeDraft, "patch")
    if "name" in touched and not (draft.name is None and _removed("name", operations)):
        _check_name(draft.name, version, f"Node {ident}: Cannot change name to invalid name '{draft.name}'")
    check_properties(draft.properties)
    _check_assigned(operations, draft)
    refuse_locked(found)
    values = _columns(draft)
    if reset_interfaces:
        draft = _without_untouched_interfaces(draft, touched)
    if touched & changes.DRIVER_FIELDS:
        wanted = {name: getattr(draft, name) for name in touched & changes.INTERFACE_FIELDS}
        changes.check_driver(found, {name: value for name, value in wanted.items() if value != before[name]})
        values.update(_interfaces(deps, draft, draft.driver))
    changed = {name: value for name, value in values.items() if value != before[name]}
    changes.check(found, changed)
    changed.update(changes.consequences(found, changed))
    _check_chassis(connection, changed.get("chassis_uuid"))
    if changed.get("parent_node"):
        changed["parent_node"] = _get_parent(connection, found, changed["parent_node"]).uuid
    if touched & set(_SEALED):
        changed.update(_reseal(connection, deps, found, values))
    if "instance_uuid" in changed and found.allocation_uuid is not None:
        allocations.destroy(connection, found.allocation_uuid)
    nodes.change(connection, found.uuid, **changed)
    return found.uuid


def _check_assigned(operations: tuple[patch.Operation, ...], draft: NodeDraft) -> None:
    """Fields that may be removed, but not set to nothing."""
    given = [operation for operation in operations if operation.op != "remove"]
    if any(each.path.startswith("/network_data/") for each in given):  # the whole was checked before the node was read
        network_data.check(draft.network_data)
    if any(each.root() == "parent_node" for each in given) and not draft.parent_node:
        raise errors.Invalid("A node needs a parent's name or UUID here.", hint="Remove parent_node instead.")


def _check_parent(connection: Connection, found: node.Node, operations: tuple[patch.Operation, ...]) -> None:
    """Refuse a parent that cannot be one whatever state the node is in."""
    given = [each.value for each in operations if each.path == "/parent_node" and each.op != "remove"]
    if given and isinstance(given[0], str) and given[0]:
        _get_parent(connection, found, given[0])


def _check_owner(connection: Connection, found: node.Node, operations: tuple[patch.Operation, ...]) -> None:
    """A node that an owner's allocation holds stays with its owner."""
    if found.allocation_uuid is None or not any(each.path == "/owner" and each.op != "remove" for each in operations):
        return
    if allocations.get(connection, found.allocation_uuid).owner is not None:
        raise errors.Conflict(
            f'Cannot update owner of node "{found.uuid}" while it is allocated to an allocation with an owner.',
            hint="Remove the allocation first.",
        )


def _reseal(connection: Connection, deps: Deps, found: node.Node, values: dict[str, Any]) -> dict[str, Any]:
    sealed, _ = nodes.get_secrets(connection, found.uuid)
    opened: dict[str, Any] = deps.sealer.open(found.uuid, sealed) or {}
    known = {name: secrets.merge(getattr(found, name), opened.get(name, {})) for name in _SEALED}
    public, resealed = _seal(deps, found.uuid, values, known)
    return {**public, "secrets": resealed}


def _destroy(connection: Connection, ident: str) -> None:
    found = nodes.get(connection, ident)
    refuse_locked(found)
    changes.check_delete(found)
    nodes.destroy(connection, found.uuid)


def _removed(name: str, operations: tuple[patch.Operation, ...]) -> bool:
    last = [operation for operation in operations if operation.root() == name][-1]
    return last.op == "remove"


def _check_name(name: str | None, version: int, message: str) -> None:
    if not name or not ids.is_name(name, hostname_only=version < 10):
        raise errors.Invalid(message, hint="Use letters, digits, '.', '_', '~' and '-'; not a UUID.")


def _check_chassis(connection: Connection, chassis_uuid: str | None) -> None:
    try:
        if chassis_uuid is not None:
            chassis.get(connection, chassis_uuid)
    except errors.NotFound as error:
        # The address of this request exists, only a value in its body does not.
        raise errors.Invalid(error.message, hint=error.hint) from error


def _get_parent(connection: Connection, child: node.Node, ident: str) -> node.Node:
    """The node that is to be the child's parent. Raises errors.Invalid, in the same words for one of another owner."""
    found = nodes.find(connection, ident)
    if found is None or found.owner != child.owner:
        raise errors.Invalid(
            f"Unable to apply the requested parent_node '{ident}'. Requested value was invalid.",
            hint="Name a node of the same owner.",
        )
    above: node.Node | None = found
    while above is not None:
        if above.uuid == child.uuid:
            raise errors.Invalid(f"Node {child.uuid} cannot be its own parent, nor below one of its children.")
        above = nodes.find(connection, above.parent_node) if above.parent_node else None
    return found


def _columns(draft: NodeDraft) -> dict[str, Any]:
    """The draft as column values, null replaced by the column's empty value."""
    values: dict[str, Any] = {}
    for name in ROOTS:
        value = getattr(draft, name)
        values[name] = _EMPTY.get(name) if value is None else value
    return values


_EMPTY: dict[str, Any] = {
    "driver_info": {},
    "extra": {},
    "instance_info": {},
    "network_data": {},
    "properties": {},
    "maintenance": False,
    "protected": False,
    "retired": False,
    "disable_power_off": False,
    "conductor_group": "",
}


def _interfaces(deps: Deps, draft: NodeDraft, driver: str) -> dict[str, str]:
    """Every interface of the node: chosen ones checked, others the driver's default. Raises errors.Invalid."""
    try:
        defaults = deps.registry.defaults(driver)
    except errors.NotFound as error:
        raise errors.Invalid(error.message, hint=error.hint) from error
    found: dict[str, str] = {}
    for kind in node.INTERFACES:
        name: str | None = getattr(draft, f"{kind}_interface")
        if name is not None:
            deps.registry.check(driver, kind, name)
        found[f"{kind}_interface"] = name or defaults[f"{kind}_interface"]
    return found


def _without_untouched_interfaces(draft: NodeDraft, touched: set[str]) -> NodeDraft:
    if "driver" not in touched:
        raise errors.Invalid("The reset_interfaces parameter can only be used when changing the node's driver.")
    return msgspec.structs.replace(draft, **dict.fromkeys(changes.INTERFACE_FIELDS - touched))


def _seal(
    deps: Deps, uuid: str, values: dict[str, Any], known: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], str | None]:
    """The public form of the fields that may hold secrets, and the secrets sealed (None when there are none)."""
    public: dict[str, Any] = {}
    hidden: dict[str, Any] = {}
    for name in _SEALED:
        shown, kept = secrets.split(values[name], known.get(name, {}), instance=name == "instance_info")
        public[name] = shown
        if kept:
            hidden[name] = kept
    return public, deps.sealer.seal(uuid, hidden) if hidden else None


async def set_maintenance(deps: Deps, ident: str, reason: str | None) -> None:
    """Mark a node as in maintenance. Raises errors.NotFound, Locked."""
    await deps.store.run(_maintain, ident, {"maintenance": True, "maintenance_reason": reason})


async def clear_maintenance(deps: Deps, ident: str) -> None:
    """End maintenance and forget the fault that caused it. Raises errors.NotFound, Locked."""
    await deps.store.run(_maintain, ident, {"maintenance": False, "maintenance_reason": None, "fault": None})


async def set_raid_target(deps: Deps, uuid: str, target: dict[str, Any]) -> None:
    """Store which RAID volumes the node is to have; cleaning makes them. Raises errors.NotFound, Locked."""
    await deps.store.run(_set_raid_target, uuid, target)


def _set_raid_target(connection: Connection, uuid: str, target: dict[str, Any]) -> None:
    refuse_locked(nodes.get(connection, uuid))
    nodes.change(connection, uuid, target_raid_config=target)


def _maintain(connection: Connection, ident: str, values: dict[str, Any]) -> None:
    found = nodes.get(connection, ident)
    refuse_locked(found)
    nodes.change(connection, found.uuid, **values)
    text = "Maintenance began." if values["maintenance"] else "Maintenance ended."
    history.add(connection, found.uuid, text, event_type="maintenance", state=found.provision_state)
