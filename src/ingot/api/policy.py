"""Who may do what: one readable table, rule -> the least role that may.

Why: authorisation in one place, named by the rules Ironic operators know. May not: read the database.
Invariant: a rule that is not in the table is refused. Scope, owner and lessee join later as further fields of Rule.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from ingot.api import wire
from ingot.domain import errors


class Role(IntEnum):
    """Roles of local users; a higher one may all that a lower one may."""

    NOBODY = 0
    READER = 1
    MEMBER = 2
    ADMIN = 3


class Rule(msgspec.Struct, frozen=True):
    """Who may. ``role``: the least role."""

    role: Role


_ROLES = {"reader": Role.READER, "member": Role.MEMBER, "admin": Role.ADMIN}

TABLE: dict[str, Rule] = {
    "public": Rule(Role.NOBODY),
    "baremetal:node:get": Rule(Role.READER),
    "baremetal:node:list": Rule(Role.READER),
    "baremetal:node:create": Rule(Role.ADMIN),
    "baremetal:node:update": Rule(Role.MEMBER),
    "baremetal:node:delete": Rule(Role.ADMIN),
    "baremetal:node:validate": Rule(Role.MEMBER),
    "baremetal:node:set_maintenance": Rule(Role.MEMBER),
    "baremetal:node:clear_maintenance": Rule(Role.MEMBER),
    "baremetal:node:get_states": Rule(Role.READER),
    "baremetal:node:set_power_state": Rule(Role.MEMBER),
    "baremetal:node:set_provision_state": Rule(Role.MEMBER),
    "baremetal:node:get_boot_device": Rule(Role.MEMBER),
    "baremetal:node:set_boot_device": Rule(Role.MEMBER),
    "baremetal:node:inject_nmi": Rule(Role.MEMBER),
    "baremetal:node:get_console": Rule(Role.MEMBER),
    "baremetal:node:set_console_state": Rule(Role.MEMBER),
    "baremetal:node:set_boot_mode": Rule(Role.MEMBER),
    "baremetal:node:set_secure_boot": Rule(Role.MEMBER),
    "baremetal:node:set_raid_state": Rule(Role.MEMBER),
    "baremetal:node:get_indicator_state": Rule(Role.READER),
    "baremetal:node:set_indicator_state": Rule(Role.MEMBER),
    "baremetal:node:vendor_passthru": Rule(Role.ADMIN),
    "baremetal:node:bios:get": Rule(Role.READER),
    "baremetal:node:firmware:get": Rule(Role.READER),
    "baremetal:node:vmedia:get": Rule(Role.READER),
    "baremetal:node:vmedia:attach": Rule(Role.MEMBER),
    "baremetal:node:vmedia:detach": Rule(Role.MEMBER),
    "baremetal:node:vif:list": Rule(Role.READER),
    "baremetal:node:vif:attach": Rule(Role.MEMBER),
    "baremetal:node:vif:detach": Rule(Role.MEMBER),
    "baremetal:node:traits:list": Rule(Role.READER),
    "baremetal:node:traits:set": Rule(Role.MEMBER),
    "baremetal:node:traits:delete": Rule(Role.MEMBER),
    "baremetal:node:inventory:get": Rule(Role.READER),
    "baremetal:node:history:get": Rule(Role.READER),
    "baremetal:port:get": Rule(Role.READER),
    "baremetal:port:create": Rule(Role.ADMIN),
    "baremetal:port:update": Rule(Role.MEMBER),
    "baremetal:port:delete": Rule(Role.ADMIN),
    "baremetal:chassis:get": Rule(Role.READER),
    "baremetal:chassis:create": Rule(Role.ADMIN),
    "baremetal:chassis:update": Rule(Role.ADMIN),
    "baremetal:chassis:delete": Rule(Role.ADMIN),
    "baremetal:driver:get": Rule(Role.READER),
    "baremetal:driver:get_properties": Rule(Role.READER),
    "baremetal:driver:get_raid_logical_disk_properties": Rule(Role.READER),
    "baremetal:driver:vendor_passthru": Rule(Role.ADMIN),
    "baremetal:conductor:get": Rule(Role.READER),
    "baremetal:allocation:get": Rule(Role.READER),
    "baremetal:allocation:list": Rule(Role.READER),
    "baremetal:allocation:create": Rule(Role.MEMBER),
    "baremetal:allocation:update": Rule(Role.MEMBER),
    "baremetal:allocation:delete": Rule(Role.MEMBER),
    "baremetal:shards:get": Rule(Role.READER),
    "baremetal:deploy_template:get": Rule(Role.READER),
    "baremetal:deploy_template:create": Rule(Role.ADMIN),
    "baremetal:deploy_template:update": Rule(Role.ADMIN),
    "baremetal:deploy_template:delete": Rule(Role.ADMIN),
    "baremetal:runbook:get": Rule(Role.READER),
    "baremetal:runbook:create": Rule(Role.ADMIN),
    "baremetal:runbook:update": Rule(Role.ADMIN),
    "baremetal:runbook:delete": Rule(Role.ADMIN),
    "ingot:run:get": Rule(Role.READER),
    "ingot:run:logs": Rule(Role.MEMBER),
    "ingot:sensors:get": Rule(Role.READER),
    "ingot:sel:get": Rule(Role.READER),
    "ingot:sel:clear": Rule(Role.MEMBER),
    "ingot:states:get": Rule(Role.READER),
}


def rank(role: str) -> Role:
    """How much a role may; NOBODY for a word that is no role."""
    return _ROLES.get(role, Role.NOBODY)


def enforce(rule: str, caller: wire.Caller) -> None:
    """Let pass or raise errors.Forbidden."""
    if rule not in TABLE:
        raise errors.Forbidden(f"{rule}:request denied: nobody may do this", hint="Report it: the rule is not known.")
    needed = TABLE[rule].role
    if rank(caller.role) < needed:
        raise errors.Forbidden(
            f"{rule}:request denied: it needs the role {needed.name.lower()}",
            hint=f"Ask an administrator to give {caller.name} that role.",
        )
