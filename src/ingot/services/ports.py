"""Creating, changing and deleting ports: one unit of work each.

May not: touch switches. Invariant: a port's MAC address is lower case and belongs to one node.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, node, patch, states
from ingot.interfaces.network import VIF
from ingot.services import drafts
from ingot.services import nodes as node_service
from ingot.services import portgroups as group_service
from ingot.services.drafts import PortDraft, convert
from ingot.store import nodes, ports

ROOTS = tuple(name for name in PortDraft.__struct_fields__ if name != "uuid")
_COLUMNS = tuple(name for name in ROOTS if name not in {"node_uuid", "node_ident"})
_CONNECTIVITY = frozenset({"address", "local_link_connection", "physical_network", "portgroup_uuid", "pxe_enabled"})
_NEVER_NULL = ("pxe_enabled", "available_for_dynamic_portgroup")
_GROUP_HAS_NETWORK = 102
_S = states.State
_FREE = frozenset({_S.ENROLL, _S.INSPECTING, _S.INSPECT_WAIT, _S.MANAGEABLE})
_EMPTY: dict[str, Any] = {
    "extra": {},
    "local_link_connection": {},
    "pxe_enabled": True,
    "is_smartnic": False,
    "available_for_dynamic_portgroup": True,
}
_SWITCH = frozenset({"port_id", "switch_id", "switch_info", "hostname", "network_type"})
_SMART = frozenset({"port_id", "hostname"})
_LOGICAL = frozenset({"vtep-logical-switch", "vtep-physical-switch", "port_id"})


def read(body: dict[str, Any]) -> PortDraft:
    """The body of a new port. Raises errors.Invalid for one that does not fit, whatever it names."""
    _refuse_nulls(body, ("pxe_enabled",))
    draft = convert(body, PortDraft, "port")
    if (draft.node_uuid is None) == (draft.node_ident is None):
        raise errors.Invalid(
            "Schema error for port: exactly one of node_uuid and node_ident is a required property",
            hint="Name the port's node.",
        )
    return draft


def node_of(draft: PortDraft) -> str:
    """The node that a new port names, by its UUID or name."""
    ident = draft.node_uuid or draft.node_ident or ""
    return ident.lower() if ids.is_uuid(ident) else ident


async def create(deps: Deps, draft: PortDraft, version: int) -> node.Port:
    """Store a new port. Raises errors.Invalid (a field, an unknown node), Conflict (address taken), Locked."""
    return await deps.store.run(_create, draft, version)


async def change(deps: Deps, ident: str, operations: tuple[patch.Operation, ...], version: int) -> node.Port:
    """Apply a JSON patch to a port. Raises errors.NotFound, Invalid, Conflict, Locked."""
    return await deps.store.run(_change, ident, operations, version)


async def destroy(deps: Deps, uuid: str) -> None:
    """Remove a port. Raises errors.NotFound, Locked, Conflict (a virtual interface is attached)."""
    await deps.store.run(_destroy, uuid)


def _create(connection: Connection, draft: PortDraft, version: int) -> node.Port:
    owner = _owner(connection, draft)
    node_service.refuse_locked(owner)
    values = _values(draft, version)
    fresh = node.Port(uuid=(draft.uuid or ids.new()).lower(), node_uuid=owner.uuid, **values)
    # A port that does not say whether it boots from the network may join any group, as Ironic lets it.
    asked = {"portgroup_uuid", "physical_network"} if draft.pxe_enabled is not None else {"physical_network"}
    group_service.join(connection, owner, fresh, frozenset(asked))
    return ports.create(connection, fresh)


def _refuse_nulls(given: dict[str, Any], names: tuple[str, ...]) -> None:
    """Flags are true or false; null is refused where Ironic does."""
    for name in names:
        if name in given and given[name] is None:
            raise errors.Invalid(
                f"Schema error for port: None is not of type 'boolean' (at {name})", hint="Say true or false."
            )


def _owner(connection: Connection, draft: PortDraft) -> node.Node:
    try:
        return nodes.get(connection, node_of(draft))
    except errors.NotFound as error:
        raise errors.Invalid(error.message, hint=error.hint) from error


def _change(connection: Connection, ident: str, operations: tuple[patch.Operation, ...], version: int) -> node.Port:
    found = ports.get(connection, ident)
    owner = nodes.get(connection, found.node_uuid)
    node_service.refuse_locked(owner)
    before: dict[str, Any] = {name: getattr(found, name) for name in _COLUMNS}
    after = patch.apply({**before, "node_uuid": found.node_uuid, "node_ident": None}, operations)
    _refuse_nulls({each.root(): each.value for each in operations if each.op != "remove"}, _NEVER_NULL)
    draft = convert(after, PortDraft, "patch")
    if draft.node_ident is not None or (draft.node_uuid or "").lower() != found.node_uuid:
        raise errors.Invalid(
            f"Unable to apply the requested node_uuid {draft.node_ident or draft.node_uuid}. Requested value was "
            "invalid.",
            hint="A port stays with its node: delete it and create it on the other one.",
        )
    values = _values(draft, version)
    changed = {name: value for name, value in values.items() if value != before[name]}
    _check_state(owner, found, changed)
    touched = {each.root() for each in operations}
    if "physical_network" in touched and values["portgroup_uuid"] and version >= _GROUP_HAS_NETWORK:
        raise errors.Invalid(
            "physical_network cannot be changed while the port belongs to a portgroup.",
            hint="Change the port group's.",
        )
    after_change = msgspec.structs.replace(found, **changed)
    group_service.join(connection, owner, after_change, frozenset(changed))
    if changed:
        ports.change(connection, found.uuid, **changed)
    return ports.get(connection, found.uuid)


def _destroy(connection: Connection, uuid: str) -> None:
    found = ports.get(connection, uuid)
    owner = nodes.get(connection, found.node_uuid)
    node_service.refuse_locked(owner)
    if found.internal_info.get(VIF) and not owner.maintenance:
        raise errors.Conflict(
            f"Cannot delete the port {uuid} as it has a virtual interface attached.", hint="Detach it first."
        )
    ports.destroy(connection, found.uuid)


def _values(draft: PortDraft, version: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in _COLUMNS:
        value = getattr(draft, name)
        values[name] = _EMPTY.get(name) if value is None else value
    values["address"] = drafts.check_address(draft.address)
    if draft.physical_network == "":
        raise errors.Invalid("A non-empty value is required when setting physical_network", hint="Name a network.")
    if draft.name is not None and not ids.is_name(draft.name):
        raise errors.Invalid(f"Cannot use the invalid port name '{draft.name}'", hint="Use unreserved characters.")
    _check_link(values["local_link_connection"], version, smart=values["is_smartnic"])
    return values


def _check_link(link: dict[str, Any], version: int, *, smart: bool) -> None:
    """Refuse a local_link_connection of none of the known forms."""
    if not link:
        return
    if any(not isinstance(value, str) for value in link.values()):
        raise errors.Invalid("Schema error for local_link_connection: every value must be text")
    if "network_type" in link and version < 64:
        raise errors.NotAcceptable(hint="network_type needs 1.64.")
    if link == {"network_type": "unmanaged"}:
        return
    if 90 <= version < 105 and _LOGICAL.issuperset(link) and len(link) == len(_LOGICAL):
        return
    needed = {"port_id", "hostname"} if smart or link.keys() == _SMART else {"port_id", "switch_id"}
    if not needed <= set(link) <= _SWITCH:
        raise errors.Invalid(
            f"Schema error for local_link_connection: {sorted(link)} is none of the known forms",
            hint=f"Give {' and '.join(sorted(needed))}; besides: {', '.join(sorted(_SWITCH - needed))}.",
        )
    if "switch_id" in needed:
        _check_switch(link["switch_id"])


def _check_switch(text: str) -> None:
    datapath = text.replace(":", "").lower()
    is_datapath = len(datapath) == 16 and all(letter in "0123456789abcdef" for letter in datapath)
    if not is_datapath:
        try:
            ids.mac(text)
        except errors.Invalid as error:
            raise errors.Invalid(
                f"Expected a MAC address or OpenFlow datapath ID but received {text}.", hint="Correct switch_id."
            ) from error


def _check_state(owner: node.Node, found: node.Port, changed: dict[str, Any]) -> None:
    fixed = sorted(_CONNECTIVITY.intersection(changed))
    if fixed and owner.provision_state not in _FREE and not owner.maintenance:
        raise errors.Conflict(
            f"Port {found.uuid} can not have any connectivity attributes ({', '.join(fixed)}) updated while node "
            f'{owner.uuid} is in "{owner.provision_state}".',
            hint=f"Possible in {', '.join(sorted(_FREE))}, or in maintenance.",
        )
