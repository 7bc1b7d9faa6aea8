"""Which rules of policy.py a JSON patch has to pass: some fields are guarded by rules of their own.

May not: know who asks. Invariant: a field that is not named here falls to the general rule of its resource.
Source: Ironic 39.0.0, whose API asks the same rules for the same paths.
"""

from __future__ import annotations

from ingot.domain import node, patch, truth

ANY = "baremetal:node:update"
NO_CLEANING = "baremetal:node:disable_cleaning"
NODE_FIELDS: dict[str, str] = {
    "name": "baremetal:node:update:name",
    "extra": "baremetal:node:update_extra",
    "instance_info": "baremetal:node:update_instance_info",
    "instance_name": "baremetal:node:update_instance_info",
    "instance_uuid": "baremetal:node:update:instance_uuid",
    "driver_info": "baremetal:node:update:driver_info",
    "properties": "baremetal:node:update:properties",
    "network_data": "baremetal:node:update:network_data",
    "retired": "baremetal:node:update:retired",
    "retired_reason": "baremetal:node:update:retired",
    "owner": "baremetal:node:update:owner",
    "lessee": "baremetal:node:update:lessee",
    "conductor_group": "baremetal:node:update:conductor_group",
    "parent_node": "baremetal:node:update:parent_node",
    "chassis_uuid": "baremetal:node:update:chassis_uuid",
    "shard": "baremetal:node:update:shard",
    "disable_power_off": "baremetal:node:update:disable_power_off",
    "driver": "baremetal:node:update:driver_interfaces",
    **dict.fromkeys((f"{kind}_interface" for kind in node.INTERFACES), "baremetal:node:update:driver_interfaces"),
}
"""Fields of a node that a rule of their own guards; all others fall to ``ANY``."""
_OF_RUNBOOK = {"owner": "baremetal:runbook:update:owner", "public": "baremetal:runbook:update:public"}


def of_node(operations: tuple[patch.Operation, ...]) -> tuple[str, ...]:
    """All rules that a patch of a node has to pass."""
    found = [_of_operation(operation) for operation in operations]
    return tuple(dict.fromkeys(found or [ANY]))


def _of_operation(operation: patch.Operation) -> str:
    name = operation.root()
    if name == "automated_clean" and operation.op != "remove" and truth.find(operation.value) is False:
        return NO_CLEANING
    return NODE_FIELDS.get(name, ANY)


def of_runbook(operations: tuple[patch.Operation, ...]) -> tuple[str, ...]:
    """All rules that a patch of a runbook has to pass."""
    found = [_OF_RUNBOOK.get(operation.root(), "baremetal:runbook:update") for operation in operations]
    return tuple(dict.fromkeys(found or ["baremetal:runbook:update"]))
