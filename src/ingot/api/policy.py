"""Who may do what: one readable table, a rule -> the least role of each kind of caller that may.

Why: authorisation in one place, named by the rules Ironic operators know. May not: read the database (access.py does).
Invariant: a rule that is not in the table is refused.
Source: the default policy of Ironic 39.0.0, with which tests/upstream/test_policy.py compares every row.

The columns: a caller of system scope; a caller whose project owns the object; one whose project leases it (nodes);
anybody, whatever the scope. Each holds a role (whoever has it or a higher one may), ``service`` beside it, or ``-``.
Whose node, runbook or allocation it is decides about owner and lessee; a port, portgroup or volume is its node's.
An elevated service (setting ``rbac_service_role_elevated_access``) may what members of the system may, but for the
rules of ``SYSTEM_ALONE``.
"""

from __future__ import annotations

import msgspec

from ingot.api import wire
from ingot.domain import errors

ROWS = """
# rule                                          system          owner           lessee    anybody
public                                          -               -               -         everyone
baremetal:driver:ipa_lookup                     -               -               -         everyone
baremetal:node:ipa_heartbeat                    -               -               -         everyone
baremetal:driver:ipa_continue_inspection        -               -               -         everyone
show_password                                   -               -               -         -
show_instance_secrets                           -               -               -         -

# nodes: see
baremetal:node:list                             -               -               -         reader+service
baremetal:node:list_all                         reader+service  -               -         -
baremetal:node:get                              reader+service  reader+service  reader    -
baremetal:node:get:filter_threshold             reader+service  -               -         -
baremetal:node:get:last_error                   reader+service  reader+service  -         -
baremetal:node:get:reservation                  reader+service  reader+service  -         -
baremetal:node:get:driver_info                  reader+service  reader+service  -         -
baremetal:node:get:driver_internal_info         reader+service  reader+service  -         -
baremetal:node:get_states                       reader+service  reader+service  reader    -
baremetal:node:get_indicator_state              reader+service  reader+service  reader    -
baremetal:node:vif:list                         reader+service  reader+service  reader    -
baremetal:node:traits:list                      reader+service  reader+service  reader    -
baremetal:node:bios:get                         reader+service  reader+service  reader    -
baremetal:node:firmware:get                     reader+service  reader+service  reader    -
baremetal:node:vmedia:get                       reader+service  reader+service  reader    -
baremetal:node:history:get                      reader+service  reader+service  -         -
baremetal:node:inventory:get                    reader+service  reader+service  -         -
baremetal:node:get_boot_device                  member+service  manager+service -         -
baremetal:node:get_console                      member+service  member+service  -         -
baremetal:node:validate                         member+service  member+service  manager   -
baremetal:shards:get                            reader+service  -               -         -

# nodes: create, change, delete
baremetal:node:create                           admin+service   -               -         -
baremetal:node:create:self_owned_node           -               -               -         admin+service
baremetal:node:delete                           admin           -               -         -
baremetal:node:delete:self_owned_node           -               admin           -         -
baremetal:node:update                           member+service  member          member    -
baremetal:node:update_extra                     member+service  member          member    -
baremetal:node:update_instance_info             member+service  member+service  manager   -
baremetal:node:update:name                      member+service  member+service  -         -
baremetal:node:update:driver_info               member+service  member+service  -         -
baremetal:node:update:properties                member+service  member+service  -         -
baremetal:node:update:instance_uuid             member+service  member+service  -         -
baremetal:node:update:lessee                    member+service  member+service  -         -
baremetal:node:update:network_data              member+service  member+service  -         -
baremetal:node:update:retired                   member+service  member+service  -         -
baremetal:node:update:driver_interfaces         member+service  manager+service -         -
baremetal:node:update:owner                     member          -               -         -
baremetal:node:update:conductor_group           member          -               -         -
baremetal:node:update:parent_node               member          -               -         -
baremetal:node:update:chassis_uuid              admin           -               -         -
baremetal:node:update:shard                     admin           -               -         -
baremetal:node:update:disable_power_off         admin           -               -         -
baremetal:node:update_owner_provisioned         admin           -               -         -
baremetal:node:disable_cleaning                 admin           -               -         -
baremetal:node:traits:set                       member+service  manager+service -         -
baremetal:node:traits:delete                    member+service  manager+service -         -

# nodes: act
baremetal:node:set_maintenance                  member+service  member+service  manager   -
baremetal:node:clear_maintenance                member+service  member+service  manager   -
baremetal:node:set_provision_state              member+service  member+service  manager   -
baremetal:node:set_provision_state:clean_steps  member+service  member+service  manager   -
baremetal:node:set_provision_state:service_steps member+service member+service  manager   -
baremetal:node:set_power_state                  member+service  member          member    -
baremetal:node:set_boot_mode                    member+service  member          member    -
baremetal:node:set_secure_boot                  member+service  member          member    -
baremetal:node:vmedia:attach                    member+service  member          member    -
baremetal:node:vmedia:detach                    member+service  member          member    -
baremetal:node:vif:attach                       member+service  member+service  manager   -
baremetal:node:vif:detach                       member+service  member+service  manager   -
baremetal:node:set_raid_state                   member+service  member+service  -         -
baremetal:node:set_console_state                member+service  member+service  -         -
baremetal:node:set_indicator_state              member+service  member+service  -         -
baremetal:node:set_boot_device                  member+service  manager+service -         -
baremetal:node:inject_nmi                       member+service  manager+service -         -
baremetal:node:vendor_passthru                  admin           -               -         -

# ports, portgroups, volumes: the owner and lessee of their node
baremetal:port:list                             -               -               -         reader+service
baremetal:port:list_all                         reader+service  -               -         -
baremetal:port:get                              reader+service  reader+service  reader    -
baremetal:port:create                           admin+service   manager+service -         -
baremetal:port:update                           member+service  manager+service -         -
baremetal:port:delete                           admin+service   manager+service -         -
baremetal:portgroup:list                        -               -               -         reader+service
baremetal:portgroup:list_all                    reader+service  -               -         -
baremetal:portgroup:get                         reader+service  reader+service  reader    -
baremetal:portgroup:create                      admin+service   manager+service -         -
baremetal:portgroup:update                      member+service  manager+service -         -
baremetal:portgroup:delete                      admin+service   manager+service -         -
baremetal:volume:list                           -               -               -         reader+service
baremetal:volume:list_all                       reader+service  -               -         -
baremetal:volume:get                            reader+service  reader+service  reader    -
baremetal:volume:view_target_properties         reader+service  -               -         admin
baremetal:volume:create                         member+service  manager+service manager   -
baremetal:volume:update                         member+service  member+service  manager   -
baremetal:volume:delete                         member+service  manager+service manager   -

# allocations and runbooks: their own owner; a public runbook may be seen by all projects
baremetal:allocation:list                       -               -               -         reader+service
baremetal:allocation:list_all                   reader+service  -               -         -
baremetal:allocation:get                        reader+service  reader          -         -
baremetal:allocation:create                     member          -               -         member
baremetal:allocation:create_restricted          member          -               -         -
baremetal:allocation:update                     member          member          -         -
baremetal:allocation:delete                     member          member          -         -
baremetal:runbook:list                          -               -               -         reader+service
baremetal:runbook:list_all                      reader+service  -               -         -
baremetal:runbook:get                           reader+service  reader          -         service
baremetal:runbook:use                           member          manager         -         service
baremetal:runbook:create                        member          -               -         manager+service
baremetal:runbook:update                        member          manager         -         service
baremetal:runbook:update:public                 member          -               -         -
baremetal:runbook:update:owner                  member          -               -         -
baremetal:runbook:delete                        member          manager         -         service

# what belongs to no project
baremetal:chassis:get                           reader+service  -               -         -
baremetal:chassis:create                        admin           -               -         -
baremetal:chassis:update                        member          -               -         -
baremetal:chassis:delete                        admin           -               -         -
baremetal:conductor:get                         reader+service  -               -         -
baremetal:driver:get                            reader+service  -               -         -
baremetal:driver:get_properties                 reader+service  -               -         -
baremetal:driver:get_raid_logical_disk_properties reader+service -              -         -
baremetal:driver:vendor_passthru                admin           -               -         -
baremetal:deploy_template:get                   reader+service  -               -         -
baremetal:deploy_template:create                admin           -               -         -
baremetal:deploy_template:update                admin           -               -         -
baremetal:deploy_template:delete                admin           -               -         -
baremetal:inspection_rule:get                   reader+service  -               -         -
baremetal:inspection_rule:list_all              reader+service  -               -         -
baremetal:inspection_rule:create                admin           -               -         -
baremetal:inspection_rule:update                admin           -               -         -
baremetal:inspection_rule:delete                admin           -               -         -
baremetal:events:post                           admin           -               -         -

# what Ironic lacks
ingot:states:get                                -               -               -         reader+service
ingot:events:get                                -               -               -         reader+service
ingot:metrics:get                               reader+service  -               -         -
ingot:webhook:get                               admin           -               -         -
ingot:webhook:create                            admin           -               -         -
ingot:webhook:update                            admin           -               -         -
ingot:webhook:delete                            admin           -               -         -
ingot:run:get                                   reader+service  reader+service  -         -
ingot:run:logs                                  member+service  member+service  -         -
ingot:sensors:get                               reader+service  reader+service  reader    -
ingot:sel:get                                   reader+service  reader+service  -         -
ingot:sel:clear                                 member+service  manager+service -         -
"""


SYSTEM_ALONE = frozenset(
    {
        *("baremetal:chassis:get", "baremetal:chassis:update"),
        *("baremetal:driver:get", "baremetal:driver:get_properties"),
        "baremetal:driver:get_raid_logical_disk_properties",
    }
)
"""Rules that no project's caller passes, an elevated service neither."""


class Rule(msgspec.Struct, frozen=True):
    """Who may: roles, of which a caller of that kind needs one; ``elevated``: whether an elevated service may."""

    system: frozenset[str]
    owner: frozenset[str]
    lessee: frozenset[str]
    anybody: frozenset[str]
    elevated: bool


class Tenancy(msgspec.Struct, frozen=True):
    """Whose an object is: project ids, None for nobody's. ``public``: every project may see it (runbooks)."""

    owner: str | None
    lessee: str | None = None
    public: bool = False


def _read(rows: str) -> dict[str, Rule]:
    table: dict[str, Rule] = {}
    for line in rows.splitlines():
        if line and not line.startswith("#"):
            name, *columns = line.split()
            system, *others = (frozenset(column.split("+")) - {"-"} for column in columns)
            elevated = name not in SYSTEM_ALONE and not system.isdisjoint({"member", "reader"})
            table[name] = Rule(system, *others, elevated=elevated)
    return table


TABLE = _read(ROWS)
_WIDER = {
    "baremetal:node:create": "baremetal:node:create:self_owned_node",
    "baremetal:node:delete": "baremetal:node:delete:self_owned_node",
}
"""Rules of which the other one suffices too; what more it means is said where nodes are made."""


def everywhere(rule: str, caller: wire.Caller) -> bool:
    """Whether the caller may, whosever the object is."""
    found = TABLE.get(rule)
    if found is None:
        return False
    if (caller.system and not found.system.isdisjoint(caller.roles)) or (caller.elevated and found.elevated):
        return True
    if not found.anybody.isdisjoint(caller.roles):
        return True
    return rule in _WIDER and everywhere(_WIDER[rule], caller)


def allows(rule: str, caller: wire.Caller, tenancy: Tenancy | None = None) -> bool:
    """Whether the caller may, with an object of this tenancy; without one, owner and lessee do not count."""
    if everywhere(rule, caller):
        return True
    found = TABLE.get(rule)
    if found is None or tenancy is None:
        return False
    if tenancy.public and rule == "baremetal:runbook:get":
        return True
    project = caller.project
    if project is None:
        return False
    if project == tenancy.owner and not found.owner.isdisjoint(caller.roles):
        return True
    if project == tenancy.lessee and not found.lessee.isdisjoint(caller.roles):
        return True
    return rule in _WIDER and allows(_WIDER[rule], caller, tenancy)


def enforce(rule: str, caller: wire.Caller, tenancy: Tenancy | None = None) -> None:
    """Let pass or raise errors.Forbidden, which says who may."""
    if not allows(rule, caller, tenancy):
        raise errors.Forbidden(f"Access was denied to the following resource: {rule}", hint=_needed(rule))


def _needed(rule: str) -> str:
    words: list[str] = []
    for found in (TABLE.get(rule), TABLE.get(_WIDER.get(rule, ""))):
        kinds = (
            (
                ("of system scope", found.system),
                ("in the owner's project", found.owner),
                ("in the lessee's project", found.lessee),
                ("in any scope", found.anybody),
            )
            if found
            else ()
        )
        words += [f"{' or '.join(sorted(roles))} {where}" for where, roles in kinds if roles]
    return f"It takes the role {'; or '.join(words)}." if words else "Nobody may."
