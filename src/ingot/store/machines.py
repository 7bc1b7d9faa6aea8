"""The tables of nodes and of what belongs to one, and of the chassis that they stand in. May not: run statements."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint, text

from ingot.store.columns import COUNT, TIME, UUID, identity, json, metadata, of_node, times

nodes = Table(
    "nodes",
    metadata,
    *identity(),
    Column("name", String(255), unique=True),
    Column("driver", String(255), nullable=False),
    Column("provision_state", String(32), nullable=False, index=True),
    Column("target_provision_state", String(32)),
    Column("provision_updated_at", TIME),
    Column("power_state", String(16)),
    Column("target_power_state", String(32)),
    Column("instance_uuid", UUID, unique=True),
    Column("instance_name", String(255)),
    Column("chassis_uuid", UUID, index=True),
    Column("allocation_uuid", UUID),
    Column("parent_node", UUID, index=True),
    Column("last_error", Text),
    Column("maintenance", Boolean, nullable=False, server_default="0"),
    Column("maintenance_reason", Text),
    Column("fault", String(255)),
    Column("console_enabled", Boolean, nullable=False, server_default="0"),
    json("driver_info"),
    json("driver_internal_info"),
    json("instance_info"),
    json("properties"),
    json("extra"),
    json("network_data"),
    json("clean_step"),
    json("deploy_step"),
    json("service_step"),
    json("raid_config"),
    json("target_raid_config"),
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
    Column("inspection_started_at", TIME),
    Column("inspection_finished_at", TIME),
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
    *times(),
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
    # What lists ask for and few nodes have; where a database can, only those are in the index, so that it is small and
    # is never taken for a filter that selects nothing. A query has to say the same words (store/nodes.py). PostgreSQL's
    # condition stands in migration 0019 alone: said here, every service on SQLite would load SQLAlchemy's part for it.
    *(
        Index(f"ix_nodes_{name}", column, sqlite_where=text(few))
        for name, column, few in (
            ("fault", "fault", "fault IS NOT NULL"),
            ("conductor_group", "conductor_group", "conductor_group != ''"),
            ("associated", "id", "instance_uuid IS NOT NULL"),
        )
    ),
    *(Index(f"ix_nodes_{name}", name, sqlite_where=text(f"{name} = 1")) for name in ("maintenance", "retired")),
)

node_traits = Table(
    "node_traits",
    metadata,
    Column("node_uuid", UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), primary_key=True),
    Column("trait", String(255), primary_key=True),
)

node_history = Table(
    "node_history",
    metadata,
    Column("id", COUNT, primary_key=True, autoincrement=True),
    Column("uuid", UUID, nullable=False, unique=True),
    of_node(),
    Column("created_at", TIME, nullable=False),
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
    Column("node_uuid", UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), primary_key=True),
    Column("created_at", TIME, nullable=False),
    json("inventory"),
    json("plugin_data"),
)

node_bios = Table(
    "node_bios",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("node_uuid", UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False),
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
    *times(),
    UniqueConstraint("node_uuid", "name"),
)

node_firmware = Table(
    "node_firmware",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("node_uuid", UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False),
    Column("component", String(255), nullable=False),
    Column("initial_version", String(255)),
    Column("current_version", String(255)),
    Column("last_version_flashed", String(255)),
    Column("vendor", String(255)),
    Column("model", String(255)),
    Column("serial_number", String(255)),
    *times(),
    UniqueConstraint("node_uuid", "component"),
)

ports = Table(
    "ports",
    metadata,
    *identity(),
    of_node(),
    Column("address", String(17), nullable=False, unique=True),
    Column("name", String(255), unique=True),
    Column("description", Text),
    Column("vendor", String(255)),
    Column("category", String(255)),
    Column("portgroup_uuid", UUID, index=True),
    Column("physical_network", String(64)),
    Column("pxe_enabled", Boolean, nullable=False, server_default="1"),
    Column("is_smartnic", Boolean, nullable=False, server_default="0"),
    Column("available_for_dynamic_portgroup", Boolean, nullable=False, server_default="1"),
    json("extra"),
    json("internal_info"),
    json("local_link_connection"),
    *times(),
)

portgroups = Table(
    "portgroups",
    metadata,
    *identity(),
    of_node(),
    Column("address", String(17), unique=True),
    Column("name", String(255), unique=True),
    Column("mode", String(255)),
    Column("standalone_ports_supported", Boolean, nullable=False, server_default="1"),
    Column("dynamic_portgroup", Boolean, nullable=False, server_default="0"),
    Column("physical_network", String(64)),
    Column("category", String(80)),
    json("extra"),
    json("internal_info"),
    json("properties"),
    *times(),
)

volume_connectors = Table(
    "volume_connectors",
    metadata,
    *identity(),
    of_node(),
    Column("type", String(32), nullable=False),
    Column("connector_id", String(255), nullable=False),
    json("extra"),
    *times(),
    UniqueConstraint("type", "connector_id"),
)

volume_targets = Table(
    "volume_targets",
    metadata,
    *identity(),
    of_node(),
    Column("volume_type", String(64), nullable=False),
    Column("volume_id", String(255), nullable=False),
    Column("boot_index", Integer, nullable=False),
    json("properties"),
    # Sealed: the secrets among the properties.
    Column("secrets", Text),
    json("extra"),
    *times(),
    UniqueConstraint("node_uuid", "boot_index"),
)

chassis = Table(
    "chassis",
    metadata,
    *identity(),
    Column("description", String(255)),
    json("extra"),
    *times(),
)
