"""Creating, changing and deleting volume connectors and targets: one unit of work each.

May not: reach storage. Invariant: they change only while their node is off, for a running system uses them.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, node, patch, power, secrets, states, typed, volumes
from ingot.services import nodes as node_service
from ingot.services.drafts import Object, Text, convert
from ingot.store import nodes
from ingot.store import volumes as store

T = TypeVar("T", volumes.Connector, volumes.Target)


class ConnectorDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A volume connector as clients write it."""

    node_uuid: str
    type: Annotated[str, msgspec.Meta(max_length=32)]
    connector_id: Text
    uuid: str | None = None
    extra: Object | None = None


class TargetDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A volume target as clients write it."""

    node_uuid: str
    volume_type: Annotated[str, msgspec.Meta(max_length=64)]
    volume_id: Text
    boot_index: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
    uuid: str | None = None
    extra: Object | None = None
    properties: Object | None = None


class Kind(msgspec.Struct, Generic[T], frozen=True):
    """One of the two resources. ``what``: how people call an item."""

    what: str
    store: store.Volumes[T]
    draft: type[ConnectorDraft] | type[TargetDraft]
    value: type[T]

    @property
    def roots(self) -> tuple[str, ...]:
        """The fields a patch may name."""
        return tuple(name for name in self.draft.__struct_fields__ if name != "uuid")


CONNECTOR = Kind("connector", store.CONNECTORS, ConnectorDraft, volumes.Connector)
TARGET = Kind("target", store.TARGETS, TargetDraft, volumes.Target)


async def create(deps: Deps, kind: Kind[T], body: dict[str, Any]) -> T:
    """Store a new one. Raises errors.Invalid (a field, an unknown node), Conflict (identified like another one)."""
    value = _make(kind, body, {})
    return await deps.store.run(_create, deps, kind, value)


async def change(deps: Deps, kind: Kind[T], uuid: str, operations: tuple[patch.Operation, ...]) -> T:
    """Apply a JSON patch. Raises errors.NotFound, Invalid (also while the node is not off), Conflict, Locked."""
    return await deps.store.run(_change, deps, kind, uuid, operations)


async def destroy(deps: Deps, kind: Kind[T], uuid: str) -> None:
    """Remove one. Raises errors.NotFound, Locked, Invalid (its node is in use and not off)."""
    await deps.store.run(_destroy, deps, kind, uuid)


def _create(connection: Connection, deps: Deps, kind: Kind[T], value: T) -> T:
    _get_node(connection, value.node_uuid)
    return kind.store.create(connection, deps.sealer, value)


def _change(connection: Connection, deps: Deps, kind: Kind[T], uuid: str, operations: tuple[patch.Operation, ...]) -> T:
    found = kind.store.get(connection, deps.sealer, uuid)
    before: dict[str, Any] = {name: getattr(found, name) for name in kind.roots}
    shown = secrets.split(before, {})[0]
    public, hidden = secrets.split(patch.apply(shown, operations), before)
    kept = {"uuid": found.uuid, "created_at": found.created_at, "updated_at": found.updated_at}
    value = _make(kind, secrets.merge(public, hidden), kept)
    owner = _get_node(connection, value.node_uuid)
    node_service.refuse_locked(owner)
    if owner.power_state != power.Power.OFF:
        raise _in_use(kind, owner, "update")
    if value != found:
        kind.store.change(connection, deps.sealer, value)
    return kind.store.get(connection, deps.sealer, uuid)


def _destroy(connection: Connection, deps: Deps, kind: Kind[T], uuid: str) -> None:
    found = kind.store.get(connection, deps.sealer, uuid)
    owner = nodes.get(connection, found.node_uuid)
    node_service.refuse_locked(owner)
    if owner.provision_state not in states.DELETABLE and owner.power_state != power.Power.OFF:
        raise _in_use(kind, owner, "deletion")
    kind.store.destroy(connection, uuid)


def _make(kind: Kind[T], body: dict[str, Any], kept: dict[str, Any]) -> T:
    draft = convert(body, kind.draft, kind.what)
    given = {name: value for name, value in msgspec.to_builtins(draft).items() if value is not None}
    given["uuid"] = (draft.uuid or ids.new()).lower()
    given["node_uuid"] = draft.node_uuid.lower()
    return typed.convert({**given, **kept}, kind.value)


def _get_node(connection: Connection, uuid: str) -> node.Node:
    try:
        return nodes.get(connection, uuid)
    except errors.NotFound as error:
        text = f"Invalid input for field/attribute node_uuid. Value: '{uuid}'. There is no such node"
        raise errors.Invalid(text, hint="Name an enrolled node.") from error


def _in_use(kind: Kind[Any], owner: node.Node, what: str) -> errors.Invalid:
    return errors.Invalid(
        f'The requested action "volume {kind.what} {what}" can not be performed on node "{owner.uuid}" while it is in '
        f'state "{owner.power_state}".',
        hint="Power the node off first.",
    )
