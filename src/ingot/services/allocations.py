"""Allocations: asked for by the API, found a node by the conductor, and given back; each one unit of work.

May not: touch hardware. Invariants: a node is given to one allocation at most, and only while it is free; an
allocation's state, its node and the node's ``instance_uuid`` change together or not at all.
"""

from __future__ import annotations

import functools
import time
from typing import Annotated, Any

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import allocation, errors, ids, node, patch, states, traits
from ingot.services import changes, drafts
from ingot.services import nodes as node_service
from ingot.store import allocations, nodes, placement, units

RING = "allocations"
"""The bus topic by which a conductor learns that a node is wanted."""
ROOTS = ("name", "extra")
"""The fields a patch may name."""
_PATIENCE = 0.1
"""Seconds that other writers may have to wait for a batch of searches among many nodes."""
_MOST_CANDIDATES = 10_000
"""More than databases take in one question."""
_OWNER_SINCE = 60
_NODE_SINCE = 58


class AllocationDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An allocation as clients write it. ``node``: record that this deployed node is in use."""

    candidate_nodes: list[str] | None = None
    extra: drafts.Object | None = None
    name: drafts.Text | None = None
    node: drafts.Text | None = None
    owner: drafts.Text | None = None
    resource_class: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    traits: list[str] | None = None
    uuid: str | None = None


def draft(body: dict[str, Any], version: int) -> AllocationDraft:
    """A body as a draft. Raises errors.Invalid, or NotAcceptable for an owner before its microversion."""
    if "node" in body and version < _NODE_SINCE:
        raise errors.Invalid("Schema error for allocation: node was unexpected", hint="It needs 1.58.")
    found = drafts.convert(body, AllocationDraft, "allocation")
    for trait in found.traits or ():
        traits.check(trait)
    if "owner" in body and version < _OWNER_SINCE:
        raise errors.NotAcceptable(hint=f"The owner needs 1.{_OWNER_SINCE}.")
    if found.name and not ids.is_label(found.name):
        raise errors.Invalid(f"Cannot create allocation with invalid name '{found.name}'")
    return found


async def create(deps: Deps, wanted: AllocationDraft, project: str | None = None) -> allocation.Allocation:
    """Store an allocation for which a conductor will look for a node, or one that records a deployed node.

    ``project``: only nodes that it owns or leases may be candidates; None: any may.
    Raises errors.Invalid (a node is not known), Conflict (name or uuid taken; the node given is not fit).
    """
    if wanted.node:
        made, refused = await deps.store.run(_backfill, wanted, project)
        if refused:
            raise refused
        return made
    if not wanted.resource_class:
        raise errors.Invalid("The resource_class field is mandatory when not backfilling")
    made = await deps.store.run(_create, wanted, project)
    deps.bus.ring(made.uuid, RING)
    return made


async def change(deps: Deps, ident: str, operations: tuple[patch.Operation, ...]) -> allocation.Allocation:
    """Apply a JSON patch to an allocation. Raises errors.NotFound, Invalid, Conflict (name taken)."""
    return await deps.store.run(_change, ident, operations)


async def destroy(deps: Deps, ident: str) -> None:
    """Remove an allocation and free its node. Raises errors.NotFound, Locked, Conflict (the node is in use)."""
    await deps.store.run(_destroy, ident)


def get_of_node(connection: Connection, ident: str) -> allocation.Allocation:
    """The allocation that holds the node ``ident``. Raises errors.NotFound."""
    found = allocations.find_of_node(connection, nodes.get(connection, ident).uuid)
    if found is None:
        raise errors.NotFound(f"Allocation for node {ident} was not found", hint="")
    return found


def place_waiting(connection: Connection, limit: int, patience: float = _PATIENCE) -> bool:
    """Look for a node for up to ``limit`` allocations, oldest first, for about ``patience`` seconds; whether more wait.

    Each ends active or in error, by itself: what goes wrong with one leaves the others alone.
    """
    waiting = allocations.list_waiting(connection, limit)
    last, end = placement.last_id(connection), time.monotonic() + patience
    for wanted in waiting:
        if time.monotonic() > end:
            return True
        _, failure = units.attempt(connection, functools.partial(_place, wanted=wanted, last=last), "placement")
        if isinstance(failure, errors.IngotError):
            reason = f"Unexpected exception during allocation: {failure.sentence()}"
            placement.settle(connection, wanted.uuid, allocation.State.ERROR, None, reason)
        elif failure is not None:
            raise failure
    return len(waiting) == limit


def _place(connection: Connection, wanted: allocation.Allocation, last: int) -> None:
    found = placement.find_free(connection, wanted, last)
    if found is None:
        reason = wanted.failure(_why_none(connection, wanted, last))
        placement.settle(connection, wanted.uuid, allocation.State.ERROR, None, reason)
    elif not placement.take(connection, wanted, found.uuid, found.instance_info):
        raise errors.Bug(f"Node {found.uuid} was free and is not, within one transaction")


def _why_none(connection: Connection, wanted: allocation.Allocation, last: int) -> str:
    if wanted.traits and placement.find_free(connection, wanted, last, traits=False) is not None:
        return f"no suitable nodes have the requested traits {', '.join(wanted.traits)[:1000]}"
    if wanted.candidate_nodes:
        return f"none of the requested nodes are available and match the resource class {wanted.resource_class}"
    return f"no available nodes match the resource class {wanted.resource_class}"


def _create(connection: Connection, wanted: AllocationDraft, project: str | None) -> allocation.Allocation:
    candidates = _candidates(connection, wanted.candidate_nodes or [], project)
    return allocations.create(connection, _value(wanted, wanted.uuid or ids.new(), candidates))


def _value(wanted: AllocationDraft, uuid: str, candidates: list[str]) -> allocation.Allocation:
    return allocation.Allocation(
        uuid=uuid.lower(),
        name=wanted.name,
        resource_class=wanted.resource_class,
        owner=wanted.owner,
        traits=wanted.traits or [],
        candidate_nodes=candidates,
        extra=wanted.extra or {},
    )


def _candidates(connection: Connection, idents: list[str], project: str | None) -> list[str]:
    if not idents:
        return []
    if len(idents) > _MOST_CANDIDATES:
        raise errors.Invalid(
            f"At most {_MOST_CANDIDATES} candidate nodes may be named, not {len(idents)}",
            hint="Ask by resource class and traits.",
        )
    known = allocations.find_node_uuids(connection, idents, project)
    missing = [ident for ident in dict.fromkeys(idents) if ident not in known]
    if missing:
        raise errors.Invalid(f"Nodes cannot be found: {', '.join(missing)[:1000]}", hint="Check names and UUIDs.")
    return [known[ident] for ident in idents]


def _backfill(
    connection: Connection, wanted: AllocationDraft, project: str | None
) -> tuple[allocation.Allocation, errors.IngotError | None]:
    """The allocation of a deployed node, and why it is in error if it is: it is stored all the same."""
    found = nodes.find(connection, wanted.node or "")
    if found is None:
        raise errors.Invalid(f"Node {wanted.node} could not be found.", hint="Check the name or UUID.")
    candidates = _candidates(connection, wanted.candidate_nodes or [], project)
    made = _value(wanted, wanted.uuid or found.instance_uuid or ids.new(), candidates)
    made = msgspec.structs.replace(made, resource_class=wanted.resource_class or found.resource_class)
    allocations.create(connection, made)
    refused = _refuse_backfill(made, found)
    if refused is None:
        info = msgspec.json.encode(found.instance_info).decode()
        take = functools.partial(placement.take, wanted=made, node_uuid=found.uuid, instance_info=info)
        _, refused = units.attempt(connection, take, "placement")
    if refused is not None:
        if not isinstance(refused, errors.IngotError):
            raise refused
        placement.settle(connection, made.uuid, allocation.State.ERROR, None, refused.message)
    return allocations.get(connection, made.uuid), refused


def _refuse_backfill(made: allocation.Allocation, found: node.Node) -> errors.IngotError | None:
    if found.reservation is not None:
        return node_service.locked(found)
    unfit = _unfit(made, found)
    if unfit:
        reason = f"Cannot backfill an allocation for node {found.uuid}: {'; '.join(unfit)}"
        return errors.Conflict(made.failure(reason), hint="Remove that allocation, then send a correct request.")
    if found.instance_uuid not in {None, made.uuid}:
        return errors.Conflict(f"Node {found.uuid} is associated with instance {found.instance_uuid}.", hint="")
    return None


def _unfit(made: allocation.Allocation, found: node.Node) -> list[str]:
    unfit: list[str] = []
    if found.provision_state != states.State.ACTIVE:
        unfit.append(f'Node must be in the "active" state, but the current state is "{found.provision_state}"')
    if made.resource_class != found.resource_class:
        unfit.append(
            f"Resource class {found.resource_class} does not match the requested resource class {made.resource_class}"
        )
    if not set(made.traits) <= set(found.traits):
        unfit.append(f"List of traits {list(found.traits)} does not match the requested traits {made.traits}")
    if made.candidate_nodes and found.uuid not in made.candidate_nodes:
        unfit.append(f"Candidate nodes must be empty or contain the target node, but got {made.candidate_nodes}")
    return unfit


def _change(connection: Connection, ident: str, operations: tuple[patch.Operation, ...]) -> allocation.Allocation:
    found = allocations.get(connection, ident)
    for operation in operations:
        _check_operation(operation)
    after = patch.apply({"name": found.name, "extra": found.extra}, operations)
    checked = drafts.convert({"name": None, "extra": None, **after}, AllocationDraft, "patch")
    wanted: dict[str, Any] = {"name": checked.name, "extra": checked.extra or {}}
    if changed := {name: value for name, value in wanted.items() if value != getattr(found, name)}:
        allocations.change(connection, found.uuid, **changed)
    return allocations.get(connection, found.uuid)


def _check_operation(operation: patch.Operation) -> None:
    if operation.root() not in ROOTS:
        raise errors.Invalid(
            f"Cannot patch {operation.path}. Only the following can be updated: {', '.join(ROOTS)}", hint=""
        )
    value: Any = operation.value
    if operation.path == "/name" and value is not msgspec.UNSET and value and not ids.is_label(str(value)):
        raise errors.Invalid(f"Cannot update allocation with invalid name '{value}'"[:400])


def _destroy(connection: Connection, ident: str) -> None:
    _free(connection, allocations.get(connection, ident))


def _free(connection: Connection, found: allocation.Allocation) -> None:
    if found.node_uuid is not None:
        held = nodes.get(connection, found.node_uuid)
        node_service.refuse_locked(held)
        changes.check_free(held, found.uuid)
    allocations.destroy(connection, found.uuid)
