"""A node: one bare-metal server as ingot records it.

Why: one value passes through all floors. May not: do I/O. Invariant: a Node never holds a secret in clear;
secrets travel apart (``store/nodes.py: get_secrets``).
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.domain import states

INTERFACES = (
    "bios",
    "boot",
    "console",
    "deploy",
    "firmware",
    "inspect",
    "management",
    "network",
    "power",
    "raid",
    "rescue",
    "storage",
    "vendor",
)
"""The interfaces a node picks an implementation for, each in a field ``<name>_interface``."""

ASKED_AGAIN = "agent_asked_again_at"
"""Key of ``driver_internal_info``: when a ramdisk last looked this node up although its agent was known (epoch)."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``nodes``. Public times are ISO 8601 text with offset; None is "not set" throughout."""

    uuid: str
    driver: str
    provision_state: states.State = states.State.ENROLL
    name: str | None = None
    instance_uuid: str | None = None
    instance_name: str | None = None
    chassis_uuid: str | None = None
    allocation_uuid: str | None = None
    parent_node: str | None = None
    power_state: str | None = None
    target_power_state: str | None = None
    target_provision_state: str | None = None
    provision_updated_at: str | None = None
    last_error: str | None = None
    maintenance: bool = False
    maintenance_reason: str | None = None
    fault: str | None = None
    console_enabled: bool = False
    driver_info: dict[str, Any] = {}
    driver_internal_info: dict[str, Any] = {}
    instance_info: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    network_data: dict[str, Any] = {}
    clean_step: dict[str, Any] = {}
    deploy_step: dict[str, Any] = {}
    service_step: dict[str, Any] = {}
    raid_config: dict[str, Any] = {}
    target_raid_config: dict[str, Any] = {}
    resource_class: str | None = None
    conductor_group: str = ""
    owner: str | None = None
    lessee: str | None = None
    shard: str | None = None
    description: str | None = None
    automated_clean: bool | None = None
    protected: bool = False
    protected_reason: str | None = None
    retired: bool = False
    retired_reason: str | None = None
    disable_power_off: bool = False
    boot_mode: str | None = None
    secure_boot: bool | None = None
    health: str | None = None
    inspection_started_at: str | None = None
    inspection_finished_at: str | None = None
    bios_interface: str | None = None
    boot_interface: str | None = None
    console_interface: str | None = None
    deploy_interface: str | None = None
    firmware_interface: str | None = None
    inspect_interface: str | None = None
    management_interface: str | None = None
    network_interface: str | None = None
    power_interface: str | None = None
    raid_interface: str | None = None
    rescue_interface: str | None = None
    storage_interface: str | None = None
    vendor_interface: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    # Seen by the agent's calls; shown to clients inside driver_internal_info.
    agent_url: str | None = None
    agent_version: str | None = None
    agent_heartbeat_at: float | None = None
    agent_verify_ca: str | None = None
    # Who works on it: the conductor that holds its open run, None while nothing runs or the run only waits.
    reservation: str | None = None
    traits: tuple[str, ...] = ()

    def interface(self, kind: str) -> str | None:
        """The name of the implementation chosen for ``kind`` ("power", "boot", ...), None if not chosen."""
        return getattr(self, f"{kind}_interface")


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One network card of a node. ``address``: MAC in lower case."""

    uuid: str
    node_uuid: str
    address: str
    name: str | None = None
    description: str | None = None
    vendor: str | None = None
    category: str | None = None
    portgroup_uuid: str | None = None
    physical_network: str | None = None
    pxe_enabled: bool = True
    is_smartnic: bool = False
    available_for_dynamic_portgroup: bool = True
    extra: dict[str, Any] = {}
    internal_info: dict[str, Any] = {}
    local_link_connection: dict[str, Any] = {}
    created_at: str | None = None
    updated_at: str | None = None


class Portgroup(msgspec.Struct, frozen=True, kw_only=True):
    """Several ports of a node used as one. ``address``: MAC in lower case, None for the members' own."""

    uuid: str
    node_uuid: str
    address: str | None = None
    name: str | None = None
    mode: str | None = "active-backup"
    standalone_ports_supported: bool = True
    dynamic_portgroup: bool = False
    physical_network: str | None = None
    category: str | None = None
    extra: dict[str, Any] = {}
    internal_info: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    created_at: str | None = None
    updated_at: str | None = None


class Chassis(msgspec.Struct, frozen=True, kw_only=True):
    """A box that groups nodes."""

    uuid: str
    description: str | None = None
    extra: dict[str, Any] = {}
    created_at: str | None = None
    updated_at: str | None = None


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a node's history."""

    uuid: str
    node_uuid: str
    created_at: str
    severity: str
    event: str
    event_type: str | None = None
    conductor: str | None = None
    user: str | None = None
    project: str | None = None
    state: str | None = None
    target_provision_state: str | None = None
    duration_seconds: float | None = None
