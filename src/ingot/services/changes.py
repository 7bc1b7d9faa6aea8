"""What may change on a node in which state, and what follows from a change. Pure rules over one node.

May not: read the database. Source: the refusals of Ironic's API, told by its wire.
"""

from __future__ import annotations

from typing import Any

from ingot.domain import errors, node, patch, states

_S = states.State
_WHILE_MOVING = frozenset(
    {
        _S.DEPLOY_FAILED,
        _S.INSPECTING,
        _S.INSPECT_FAILED,
        _S.INSPECT_WAIT,
        _S.CLEAN_FAILED,
        _S.ERROR,
        _S.VERIFYING,
        _S.ADOPT_FAILED,
        _S.RESCUE_FAILED,
        _S.UNRESCUE_FAILED,
        _S.SERVICE_HOLD,
        _S.SERVICE_FAILED,
    }
)
"""States in which a node may be changed although it is on its way somewhere."""
_LOOSE = frozenset({_S.ENROLL, _S.INSPECTING, _S.INSPECT_WAIT, _S.MANAGEABLE, _S.AVAILABLE})
"""States in which driver, interfaces and resource class may be changed."""
INTERFACE_FIELDS = frozenset(f"{kind}_interface" for kind in node.INTERFACES)
DRIVER_FIELDS = INTERFACE_FIELDS | {"driver"}


def check_state(found: node.Node, operations: tuple[patch.Operation, ...]) -> None:
    """Raise errors.Conflict while the node is on its way to another state and must not be changed."""
    moving = found.target_provision_state
    if not moving or found.provision_state in _WHILE_MOVING:
        return
    if found.maintenance and [(each.op, each.path) for each in operations] == [("remove", "/instance_uuid")]:
        return
    raise errors.Conflict(
        f"Node {found.uuid} can not be updated while a state transition is in progress.",
        hint=f'It is in "{found.provision_state}" on its way to "{moving}".',
    )


def check(found: node.Node, changed: dict[str, Any]) -> None:
    """Raise errors.Conflict or errors.Invalid when the present state forbids one of the changes."""
    if found.target_power_state:
        raise errors.Conflict(
            f'Node {found.uuid} can not be updated while its power changes to "{found.target_power_state}".',
            hint="Ask again once it has.",
        )
    check_driver(found, changed)
    _check_instance(found, changed)
    if changed.get("protected") and found.provision_state not in {_S.ACTIVE, _S.RESCUE}:
        raise errors.Conflict(
            f"Node {found.uuid} can only be made protected in provision states 'active' or 'rescue', the current state "
            f"is '{found.provision_state}'",
            hint="Deploy it first.",
        )
    if changed.get("retired") and found.provision_state == _S.AVAILABLE:
        raise errors.Conflict(
            f"Node {found.uuid} can not have 'retired' set in provision state 'available', the current state is "
            "'available'",
            hint="Send the verb manage first.",
        )
    for flag in ("protected", "retired"):
        if changed.get(f"{flag}_reason") and not changed.get(flag, getattr(found, flag)):
            raise errors.Invalid(
                f"The {flag}_reason field can only be set when {flag} is True.", hint=f"Set {flag} as well."
            )


def check_driver(found: node.Node, changed: dict[str, Any]) -> None:
    """Raise errors.Conflict when the present state forbids a change of driver or interfaces."""
    fixed = sorted(DRIVER_FIELDS.intersection(changed))
    if fixed and found.provision_state not in _LOOSE and not found.maintenance:
        raise errors.Conflict(
            f"Node {found.uuid} can not have {', '.join(fixed)} updated unless it is in one of allowed "
            f"({', '.join(sorted(_LOOSE))}) states or in maintenance mode. Current state is {found.provision_state}.",
            hint="Set maintenance, or change it later.",
        )
    if "driver" in changed and found.console_enabled:
        raise errors.Conflict(f"Node {found.uuid}: the driver can not be changed while the console is enabled.")
    if "resource_class" in changed and found.resource_class is not None and found.provision_state not in _LOOSE:
        raise errors.Conflict(
            f"Node {found.uuid}: the resource class can not be changed once the node is deployed.",
            hint=f"Possible in {', '.join(sorted(_LOOSE))}.",
        )


def _check_instance(found: node.Node, changed: dict[str, Any]) -> None:
    if found.instance_uuid is not None and changed.get("instance_uuid") is not None:
        raise errors.Conflict(
            f"Node {found.uuid} is associated with instance {found.instance_uuid}.",
            hint="Remove instance_uuid first.",
        )

    if changed.get("instance_uuid", "") is None and found.allocation_uuid is not None:
        _check_release(found)


def _check_release(found: node.Node) -> None:
    if not found.maintenance and found.provision_state not in _LOOSE:
        raise errors.Conflict(
            f"Node {found.uuid} with an allocation can not have instance_uuid removed unless it is in one of allowed "
            f"({', '.join(sorted(_LOOSE))}) states or in maintenance mode. Current state is '{found.provision_state}'.",
            hint="Undeploy it.",
        )


def check_free(found: node.Node, allocation_uuid: str) -> None:
    """Raise errors.Conflict unless the allocation that holds this node may be taken away."""
    if found.maintenance:
        return
    moving = found.target_provision_state and found.provision_state not in _WHILE_MOVING
    if moving or found.provision_state == _S.ACTIVE:
        why = f"in state {found.provision_state} where updates are not allowed" if moving else "active"
        raise errors.Conflict(
            f"Cannot remove allocation {allocation_uuid} for node {found.uuid}, because the node is {why} (and "
            "maintenance mode is off)",
            hint="Undeploy the node: that removes it.",
        )


def consequences(found: node.Node, changed: dict[str, Any]) -> dict[str, Any]:
    """Columns that change because of others."""
    result: dict[str, Any] = {}
    if changed.get("maintenance") is False:
        result.update(maintenance_reason=None, fault=None)
    for flag in ("protected", "retired"):
        if changed.get(flag) is False:
            result[f"{flag}_reason"] = None
    display: Any = changed.get("instance_info", {}).get("display_name")
    if isinstance(display, str) and 0 < len(display) <= 255 and not changed.get("instance_name", found.instance_name):
        result["instance_name"] = display
    return result


def check_delete(found: node.Node) -> None:
    """Raise errors.Forbidden or errors.Conflict unless the node may be deleted."""
    if found.instance_uuid is not None and not found.maintenance:
        raise errors.Conflict(
            f"Node {found.uuid} is associated with instance {found.instance_uuid}.",
            hint="Undeploy it, or set maintenance to delete it all the same.",
        )
    if found.protected:
        raise errors.Forbidden(
            f"Node {found.uuid} is protected and can not be undeployed, rebuilt or deleted.",
            hint="Clear the field protected first.",
        )
    if found.provision_state not in states.DELETABLE and not found.maintenance:
        raise errors.Conflict(
            f'Can not delete node "{found.uuid}" while it is in provision state "{found.provision_state}".',
            hint=f"Valid provision states are: {', '.join(sorted(states.DELETABLE))}; in maintenance: any.",
        )
