"""The tables, once, for every database; migrations must lead to exactly this.

May not: run statements. Invariant: JSON is stored as compact text (so that reads can splice it unparsed); public
times are ISO 8601 text, times only the engine compares are epoch seconds.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

_UUID = String(36)
_TIME = String(40)


def _json(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="{}")


nodes = Table(
    "nodes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("name", String(255), unique=True),
    Column("driver", String(255), nullable=False),
    Column("provision_state", String(32), nullable=False, index=True),
    Column("target_provision_state", String(32)),
    Column("provision_updated_at", _TIME),
    Column("power_state", String(16)),
    Column("target_power_state", String(32)),
    Column("instance_uuid", _UUID, unique=True),
    Column("instance_name", String(255)),
    Column("chassis_uuid", _UUID, index=True),
    Column("allocation_uuid", _UUID),
    Column("parent_node", _UUID, index=True),
    Column("last_error", Text),
    Column("maintenance", Boolean, nullable=False, server_default="0"),
    Column("maintenance_reason", Text),
    Column("fault", String(255)),
    Column("console_enabled", Boolean, nullable=False, server_default="0"),
    _json("driver_info"),
    _json("driver_internal_info"),
    _json("instance_info"),
    _json("properties"),
    _json("extra"),
    _json("network_data"),
    _json("clean_step"),
    _json("deploy_step"),
    _json("service_step"),
    _json("raid_config"),
    _json("target_raid_config"),
    Column("resource_class", String(80), index=True),
    Column("conductor_group", String(255), nullable=False, server_default=""),
    Column("owner", String(255), index=True),
    Column("lessee", String(255), index=True),
    Column("shard", String(255), index=True),
    Column("description", Text),
    Column("automated_clean", Boolean),
    Column("protected", Boolean, nullable=False, server_default="0"),
    Column("protected_reason", Text),
    Column("retired", Boolean, nullable=False, server_default="0"),
    Column("retired_reason", Text),
    Column("disable_power_off", Boolean, nullable=False, server_default="0"),
    Column("boot_mode", String(16)),
    Column("secure_boot", Boolean),
    Column("health", String(32)),
    Column("inspection_started_at", _TIME),
    Column("inspection_finished_at", _TIME),
    Column("bios_interface", String(255)),
    Column("boot_interface", String(255)),
    Column("console_interface", String(255)),
    Column("deploy_interface", String(255)),
    Column("firmware_interface", String(255)),
    Column("inspect_interface", String(255)),
    Column("management_interface", String(255)),
    Column("network_interface", String(255)),
    Column("power_interface", String(255)),
    Column("raid_interface", String(255)),
    Column("rescue_interface", String(255)),
    Column("storage_interface", String(255)),
    Column("vendor_interface", String(255)),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
    Column("agent_url", String(255)),
    Column("agent_version", String(64)),
    Column("agent_heartbeat_at", Float),
    Column("agent_verify_ca", Text),
    # The conductor that holds the open run right now; mirrors runs.owner so that lists need no join.
    Column("reservation", String(255)),
    # Sealed (store/seal.py): {"driver_info": {...}, "instance_info": {...}} and the agent's token.
    Column("secrets", Text),
    Column("agent_token", Text),
    # The address that was told the token and has not proved yet that it knows it; only it may ask again.
    Column("agent_token_told", String(45)),
    # Free nodes of a resource class, in the order of id: how an allocation finds one among many.
    Index("ix_nodes_free", "resource_class", "provision_state", "maintenance", "instance_uuid", "id"),
)

node_traits = Table(
    "node_traits",
    metadata,
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), primary_key=True),
    Column("trait", String(255), primary_key=True),
)

allocations = Table(
    "allocations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("name", String(255), unique=True),
    Column("state", String(16), nullable=False),
    # Unique: a node never serves two allocations, whatever the code above does.
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), unique=True),
    Column("resource_class", String(80)),
    Column("owner", String(255)),
    _json("traits"),
    _json("candidate_nodes"),
    _json("extra"),
    Column("last_error", Text),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
    Index("ix_allocations_state", "state", "id"),
)

deploy_templates = Table(
    "deploy_templates",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", String(255)),
    _json("steps"),
    _json("extra"),
    # Sealed: the secrets among the steps' arguments.
    Column("secrets", Text),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
)

runbooks = Table(
    "runbooks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", String(255)),
    _json("steps"),
    _json("extra"),
    Column("secrets", Text),
    Column("disable_ramdisk", Boolean, nullable=False, server_default="0"),
    Column("public", Boolean, nullable=False, server_default="0"),
    Column("owner", String(255)),
    _json("traits"),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
)

node_history = Table(
    "node_history",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", _TIME, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("event", Text, nullable=False),
    Column("event_type", String(64)),
    Column("conductor", String(255)),
    Column("user", String(255)),
    Column("project", String(255)),
    Column("state", String(32)),
    Column("target_provision_state", String(32)),
    Column("duration_seconds", Float),
)

node_inventory = Table(
    "node_inventory",
    metadata,
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), primary_key=True),
    Column("created_at", _TIME, nullable=False),
    _json("inventory"),
    _json("plugin_data"),
)

node_bios = Table(
    "node_bios",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("value", Text),
    Column("attribute_type", String(255)),
    Column("allowable_values", Text),
    Column("lower_bound", Integer),
    Column("upper_bound", Integer),
    Column("min_length", Integer),
    Column("max_length", Integer),
    Column("read_only", Boolean),
    Column("reset_required", Boolean),
    Column("unique", Boolean),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
    UniqueConstraint("node_uuid", "name"),
)

node_firmware = Table(
    "node_firmware",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False),
    Column("component", String(255), nullable=False),
    Column("initial_version", String(255)),
    Column("current_version", String(255)),
    Column("last_version_flashed", String(255)),
    Column("vendor", String(255)),
    Column("model", String(255)),
    Column("serial_number", String(255)),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
    UniqueConstraint("node_uuid", "component"),
)

ports = Table(
    "ports",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False, index=True),
    Column("address", String(17), nullable=False, unique=True),
    Column("name", String(255), unique=True),
    Column("description", Text),
    Column("vendor", String(255)),
    Column("category", String(255)),
    Column("portgroup_uuid", _UUID, index=True),
    Column("physical_network", String(64)),
    Column("pxe_enabled", Boolean, nullable=False, server_default="1"),
    Column("is_smartnic", Boolean, nullable=False, server_default="0"),
    Column("available_for_dynamic_portgroup", Boolean, nullable=False, server_default="1"),
    _json("extra"),
    _json("internal_info"),
    _json("local_link_connection"),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
)

portgroups = Table(
    "portgroups",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False, index=True),
    Column("address", String(17), unique=True),
    Column("name", String(255), unique=True),
    Column("mode", String(255)),
    Column("standalone_ports_supported", Boolean, nullable=False, server_default="1"),
    Column("dynamic_portgroup", Boolean, nullable=False, server_default="0"),
    Column("physical_network", String(64)),
    Column("category", String(80)),
    _json("extra"),
    _json("internal_info"),
    _json("properties"),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
)

volume_connectors = Table(
    "volume_connectors",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False, index=True),
    Column("type", String(32), nullable=False),
    Column("connector_id", String(255), nullable=False),
    _json("extra"),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
    UniqueConstraint("type", "connector_id"),
)

volume_targets = Table(
    "volume_targets",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False, index=True),
    Column("volume_type", String(64), nullable=False),
    Column("volume_id", String(255), nullable=False),
    Column("boot_index", Integer, nullable=False),
    _json("properties"),
    # Sealed: the secrets among the properties.
    Column("secrets", Text),
    _json("extra"),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
    UniqueConstraint("node_uuid", "boot_index"),
)

inspection_rules = Table(
    "inspection_rules",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("description", String(255)),
    Column("priority", Integer, nullable=False),
    Column("sensitive", Boolean, nullable=False),
    Column("phase", String(16), nullable=False),
    # Sealed: conditions and actions.
    Column("secrets", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
)

chassis = Table(
    "chassis",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("description", String(255)),
    _json("extra"),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
)

conductors = Table(
    "conductors",
    metadata,
    Column("hostname", String(255), primary_key=True),
    Column("boot_id", _UUID, nullable=False),
    Column("conductor_group", String(255), nullable=False, server_default=""),
    Column("drivers", Text, nullable=False, server_default="[]"),
    Column("online", Boolean, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
)

runs = Table(
    "runs",
    metadata,
    Column("id", _UUID, primary_key=True),
    Column("node_uuid", _UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False, index=True),
    # The node's uuid while the run is open, else null: a unique index that every database has.
    Column("open_node", _UUID, unique=True),
    Column("kind", String(32), nullable=False),
    _json("params"),
    Column("plan", Text),
    _json("memo"),
    Column("owner", String(255)),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("lease_until", Float, nullable=False, server_default="0"),
    Column("status", String(16), nullable=False),
    Column("abort_requested", Boolean, nullable=False, server_default="0"),
    Column("reason", Text),
    Column("wait", Text),
    Column("progress", Text),
    Column("wake_at", Float, nullable=False, server_default="0"),
    Column("started_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("deadline", Float, nullable=False),
    Index("ix_runs_claim", "status", "wake_at"),
)

run_events = Table(
    "run_events",
    metadata,
    Column("run_id", _UUID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, nullable=False),
    Column("event", String(16), nullable=False),
    Column("detail", Text),
    Column("at", Float, nullable=False),
)

run_logs = Table(
    "run_logs",
    metadata,
    Column("run_id", _UUID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("node_uuid", _UUID, nullable=False, index=True),
    Column("collected_at", Float, nullable=False),
    Column("bundle", LargeBinary(2**24 - 1), nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("password_hash", String(255), nullable=False),
    Column("role", String(32), nullable=False),
    # Where the role holds; null: in the whole system.
    Column("project", String(255)),
    Column("created_at", _TIME, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", _UUID, primary_key=True),
    Column("user_name", String(255), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("label", String(255), nullable=False, server_default=""),
    # SHA-256 of the token, which is 256 random bits.
    Column("digest", String(64), nullable=False, unique=True),
    Column("role", String(32), nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", Float, nullable=False),
)

# Written by triggers (store/triggers.py). Owner and lessee are the node's at that moment: who might see it then.
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("node_uuid", _UUID, nullable=False),
    Column("owner", String(255)),
    Column("lessee", String(255)),
    Column("body", Text, nullable=False),
    sqlite_autoincrement=True,
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", _UUID, nullable=False, unique=True),
    Column("url", String(2048), nullable=False),
    Column("description", String(255)),
    Column("kinds", Text, nullable=False, server_default="[]"),
    Column("enabled", Boolean, nullable=False, server_default="1"),
    # Sealed: the key by which deliveries are signed.
    Column("secrets", Text, nullable=False),
    # The last event that is dealt with, how often the next one was tried, and when to look again (epoch seconds).
    Column("last_event", Integer, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", Float, nullable=False, server_default="0"),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("webhook_uuid", _UUID, ForeignKey("webhooks.uuid", ondelete="CASCADE"), nullable=False, index=True),
    Column("event_id", Integer, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("duration", Float, nullable=False),
    Column("status", Integer),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text),
)
