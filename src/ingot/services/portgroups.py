"""Creating, changing and deleting port groups, and what being in one means for a port: one unit of work each.

May not: touch switches. Invariants: a group's ports belong to its node and are on its physical network.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, node, patch, states, typed
from ingot.interfaces.network import VIF
from ingot.services import drafts
from ingot.services import nodes as node_service
from ingot.services.drafts import PortgroupDraft, convert
from ingot.store import nodes, portgroups, ports

ROOTS = tuple(name for name in PortgroupDraft.__struct_fields__ if name != "uuid")
_COLUMNS = tuple(name for name in ROOTS if name != "node_uuid")
_S = states.State
_FREE = frozenset({_S.ENROLL, _S.INSPECTING, _S.INSPECT_WAIT, _S.MANAGEABLE})
"""States in which a group may be given to another node."""
_EMPTY: dict[str, Any] = {"extra": {}, "properties": {}, "standalone_ports_supported": True}
_DEFAULT_MODE = "active-backup"
_NAMES = "Use letters, digits, '.', '_', '~' and '-'; not a UUID."
_MEMBERS = "A group's ports are those of its own node."
_FROZEN_SINCE = 39
"""Microversion from which on "inspecting" means that a conductor is at work, and nothing may change."""


async def create(deps: Deps, draft: PortgroupDraft) -> node.Portgroup:
    """Store a new port group. Raises errors.Invalid (a field, an unknown node), Conflict (address or name taken)."""
    if draft.name and not ids.is_name(draft.name):
        raise errors.Invalid(f"Cannot create portgroup with invalid name '{draft.name}'", hint=_NAMES)
    own = {"uuid": (draft.uuid or ids.new()).lower(), "node_uuid": draft.node_uuid.lower()}
    fresh = typed.convert({**_values(draft), "mode": draft.mode or _DEFAULT_MODE, **own}, node.Portgroup)
    return await deps.store.run(_create, fresh)


async def change(deps: Deps, ident: str, operations: tuple[patch.Operation, ...], version: int) -> node.Portgroup:
    """Apply a JSON patch to a port group. Raises errors.NotFound, Invalid, Conflict, Locked."""
    return await deps.store.run(_change, ident, operations, version)


async def destroy(deps: Deps, ident: str) -> None:
    """Remove a port group. Raises errors.NotFound, Locked, Invalid (it has ports, as Ironic answers)."""
    await deps.store.run(_destroy, ident)


def join(connection: Connection, owner: node.Node, port: node.Port, asked: frozenset[str]) -> None:
    """Check that ``port`` may be in the group it names; an empty group takes over its physical network.

    ``asked``: the fields of the port that the request sets or changes. Raises errors.Invalid, Conflict.
    """
    if port.portgroup_uuid is None:
        return
    group = portgroups.find(connection, port.portgroup_uuid.lower())
    if group is None:
        raise errors.Invalid(f"Portgroup {port.portgroup_uuid} could not be found.", hint="Create it first.")
    if group.node_uuid != owner.uuid:
        raise errors.Invalid("Port can not be added to a portgroup belonging to a different node.", hint=_MEMBERS)
    is_new = port.created_at is None
    if is_new or owner.network_interface != "noop":  # noop connects nothing, so nothing is asked of the group's ports
        _check_standalone(group, port, asked)
    if asked & {"portgroup_uuid", "physical_network"}:
        _check_network(connection, group, port)


def _check_standalone(group: node.Portgroup, port: node.Port, asked: frozenset[str]) -> None:
    if group.standalone_ports_supported or not asked & {"pxe_enabled", "portgroup_uuid"}:
        return
    why = _alone(port)
    if why:
        raise errors.Conflict(
            f"Port group {group.uuid} doesn't support standalone ports. The port {port.uuid} cannot be a member of it "
            f"because {why}.",
            hint="Set pxe_enabled to false, or standalone_ports_supported of the group to true.",
        )


def _alone(port: node.Port) -> str:
    """Why a port is used by itself; empty when it is not."""
    reasons = ["its 'pxe_enabled' is true"] if port.pxe_enabled else []
    if port.internal_info.get(VIF):
        reasons.append(f"VIF {port.internal_info[VIF]} is attached to it")
    return " and ".join(reasons)


def _check_network(connection: Connection, group: node.Portgroup, port: node.Port) -> None:
    others = [each for each in portgroups.list_members(connection, group.uuid) if each.uuid != port.uuid]
    if others:
        present = others[0].physical_network
    elif group.physical_network is None and port.physical_network is not None:
        portgroups.change(connection, group.uuid, physical_network=port.physical_network)
        return
    else:
        present = group.physical_network
    if port.physical_network != present:
        raise errors.Conflict(
            f"Port with physical network {port.physical_network} cannot become a member of port group {group.uuid} "
            f"which has ports in physical network {present}.",
            hint=f"Set the port's physical_network to {present}.",
        )


def _create(connection: Connection, fresh: node.Portgroup) -> node.Portgroup:
    _get_owner(connection, fresh.node_uuid)
    return portgroups.create(connection, fresh)


def _get_owner(connection: Connection, uuid: str) -> node.Node:
    try:
        return nodes.get(connection, uuid)
    except errors.NotFound as error:
        # The address of this request exists, only a value in its body does not.
        raise errors.Invalid(error.message, hint=error.hint) from error


def _change(
    connection: Connection, ident: str, operations: tuple[patch.Operation, ...], version: int
) -> node.Portgroup:
    found = portgroups.get(connection, ident)
    owner = nodes.get(connection, found.node_uuid)
    before: dict[str, Any] = {name: getattr(found, name) for name in _COLUMNS}
    after = patch.apply({**before, "node_uuid": found.node_uuid}, operations)
    if "mode" not in after:
        raise errors.Invalid("'mode' is a mandatory attribute and can not be removed", hint="Replace it.")
    draft = convert(after, PortgroupDraft, "patch")
    if draft.name and not ids.is_name(draft.name):
        raise errors.Invalid(f"Portgroup {ident}: Cannot change name to invalid name '{draft.name}'", hint=_NAMES)
    node_service.refuse_locked(owner)
    if owner.provision_state == _S.INSPECTING and version >= _FROZEN_SINCE:
        raise errors.Conflict(
            f'Cannot update portgroup "{found.uuid}" on node "{owner.uuid}" while it is in state "inspecting".',
            hint="Wait until inspection has ended.",
        )
    values = _values(draft)
    changed = {name: value for name, value in values.items() if value != before[name]}
    if draft.node_uuid.lower() != found.node_uuid:
        changed["node_uuid"] = _new_owner(connection, found, owner, draft.node_uuid.lower())
    _follow(connection, found, owner, changed)
    if changed:
        portgroups.change(connection, found.uuid, **changed)
    return portgroups.get(connection, found.uuid)


def _new_owner(connection: Connection, found: node.Portgroup, owner: node.Node, uuid: str) -> str:
    """The node that a group without ports is given to."""
    target = _get_owner(connection, uuid)
    if owner.provision_state not in _FREE and not owner.maintenance:
        raise errors.Conflict(
            f"Portgroup {found.uuid} can not be associated to node {target.uuid} unless its node is in one of "
            f"{', '.join(sorted(_FREE))} or in maintenance mode.",
            hint=f"It is in {owner.provision_state}.",
        )
    if portgroups.list_members(connection, found.uuid):
        raise errors.Invalid(
            f"Portgroup {found.uuid} can not be associated with node {target.uuid} because there are ports associated "
            "with this portgroup.",
            hint="Take its ports out first.",
        )
    return target.uuid


def _follow(connection: Connection, found: node.Portgroup, owner: node.Node, changed: dict[str, Any]) -> None:
    """What a change of the group means for its ports."""
    members = portgroups.list_members(connection, found.uuid)
    if changed.get("standalone_ports_supported") is False and owner.network_interface != "noop":
        for port in members:
            if why := _alone(port):
                raise errors.Conflict(
                    "standalone_ports_supported can not be set to False, because the port group "
                    f"{found.uuid} contains port {port.uuid}: {why}.",
                    hint="Change the port first.",
                )
    if "physical_network" in changed:
        for port in members:
            ports.change(connection, port.uuid, physical_network=changed["physical_network"])


def _destroy(connection: Connection, ident: str) -> None:
    found = portgroups.get(connection, ident)
    node_service.refuse_locked(nodes.get(connection, found.node_uuid))
    if portgroups.list_members(connection, found.uuid):
        raise errors.Invalid(
            f"Cannot complete the requested action because portgroup {found.uuid} contains ports.",
            hint="Take its ports out first.",
        )
    portgroups.destroy(connection, found.uuid)


def _values(draft: PortgroupDraft) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in _COLUMNS:
        value = getattr(draft, name)
        values[name] = _EMPTY.get(name) if value is None else value
    if draft.address is not None:
        values["address"] = drafts.check_address(draft.address)
    return values
