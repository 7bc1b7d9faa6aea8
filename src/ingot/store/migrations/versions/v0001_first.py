"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ingot.store.columns import COUNT

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "chassis",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("extra", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_table(
        "conductors",
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("boot_id", sa.String(length=36), nullable=False),
        sa.Column("conductor_group", sa.String(length=255), server_default="", nullable=False),
        sa.Column("drivers", sa.Text(), server_default="[]", nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("hostname"),
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("driver", sa.String(length=255), nullable=False),
        sa.Column("provision_state", sa.String(length=32), nullable=False),
        sa.Column("target_provision_state", sa.String(length=32), nullable=True),
        sa.Column("provision_updated_at", sa.String(length=40), nullable=True),
        sa.Column("power_state", sa.String(length=16), nullable=True),
        sa.Column("target_power_state", sa.String(length=32), nullable=True),
        sa.Column("instance_uuid", sa.String(length=36), nullable=True),
        sa.Column("instance_name", sa.String(length=255), nullable=True),
        sa.Column("chassis_uuid", sa.String(length=36), nullable=True),
        sa.Column("allocation_uuid", sa.String(length=36), nullable=True),
        sa.Column("parent_node", sa.String(length=36), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("maintenance", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("maintenance_reason", sa.Text(), nullable=True),
        sa.Column("fault", sa.String(length=255), nullable=True),
        sa.Column("console_enabled", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("driver_info", sa.Text(), server_default="{}", nullable=False),
        sa.Column("driver_internal_info", sa.Text(), server_default="{}", nullable=False),
        sa.Column("instance_info", sa.Text(), server_default="{}", nullable=False),
        sa.Column("properties", sa.Text(), server_default="{}", nullable=False),
        sa.Column("extra", sa.Text(), server_default="{}", nullable=False),
        sa.Column("network_data", sa.Text(), server_default="{}", nullable=False),
        sa.Column("clean_step", sa.Text(), server_default="{}", nullable=False),
        sa.Column("deploy_step", sa.Text(), server_default="{}", nullable=False),
        sa.Column("service_step", sa.Text(), server_default="{}", nullable=False),
        sa.Column("raid_config", sa.Text(), server_default="{}", nullable=False),
        sa.Column("target_raid_config", sa.Text(), server_default="{}", nullable=False),
        sa.Column("resource_class", sa.String(length=80), nullable=True),
        sa.Column("conductor_group", sa.String(length=255), server_default="", nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=True),
        sa.Column("lessee", sa.String(length=255), nullable=True),
        sa.Column("shard", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("automated_clean", sa.Boolean(), nullable=True),
        sa.Column("protected", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("protected_reason", sa.Text(), nullable=True),
        sa.Column("retired", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("retired_reason", sa.Text(), nullable=True),
        sa.Column("disable_power_off", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("boot_mode", sa.String(length=16), nullable=True),
        sa.Column("secure_boot", sa.Boolean(), nullable=True),
        sa.Column("health", sa.String(length=32), nullable=True),
        sa.Column("inspection_started_at", sa.String(length=40), nullable=True),
        sa.Column("inspection_finished_at", sa.String(length=40), nullable=True),
        sa.Column("bios_interface", sa.String(length=255), nullable=True),
        sa.Column("boot_interface", sa.String(length=255), nullable=True),
        sa.Column("console_interface", sa.String(length=255), nullable=True),
        sa.Column("deploy_interface", sa.String(length=255), nullable=True),
        sa.Column("firmware_interface", sa.String(length=255), nullable=True),
        sa.Column("inspect_interface", sa.String(length=255), nullable=True),
        sa.Column("management_interface", sa.String(length=255), nullable=True),
        sa.Column("network_interface", sa.String(length=255), nullable=True),
        sa.Column("power_interface", sa.String(length=255), nullable=True),
        sa.Column("raid_interface", sa.String(length=255), nullable=True),
        sa.Column("rescue_interface", sa.String(length=255), nullable=True),
        sa.Column("storage_interface", sa.String(length=255), nullable=True),
        sa.Column("vendor_interface", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.String(length=40), nullable=True),
        sa.Column("agent_url", sa.String(length=255), nullable=True),
        sa.Column("agent_version", sa.String(length=64), nullable=True),
        sa.Column("agent_heartbeat_at", sa.Float(), nullable=True),
        sa.Column("agent_verify_ca", sa.Text(), nullable=True),
        sa.Column("reservation", sa.String(length=255), nullable=True),
        sa.Column("secrets", sa.Text(), nullable=True),
        sa.Column("agent_token", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("instance_uuid"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index(op.f("ix_nodes_chassis_uuid"), "nodes", ["chassis_uuid"], unique=False)
    op.create_index(op.f("ix_nodes_lessee"), "nodes", ["lessee"], unique=False)
    op.create_index(op.f("ix_nodes_owner"), "nodes", ["owner"], unique=False)
    op.create_index(op.f("ix_nodes_parent_node"), "nodes", ["parent_node"], unique=False)
    op.create_index(op.f("ix_nodes_provision_state"), "nodes", ["provision_state"], unique=False)
    op.create_index(op.f("ix_nodes_resource_class"), "nodes", ["resource_class"], unique=False)
    op.create_index(op.f("ix_nodes_shard"), "nodes", ["shard"], unique=False)
    op.create_table(
        "users",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "node_history",
        sa.Column("id", COUNT, autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("event_type", sa.String(length=64), nullable=True),
        sa.Column("conductor", sa.String(length=255), nullable=True),
        sa.Column("user", sa.String(length=255), nullable=True),
        sa.Column("project", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=True),
        sa.Column("target_provision_state", sa.String(length=32), nullable=True),
        sa.Column("duration_seconds", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["node_uuid"], ["nodes.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index(op.f("ix_node_history_node_uuid"), "node_history", ["node_uuid"], unique=False)
    op.create_table(
        "node_inventory",
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("inventory", sa.Text(), server_default="{}", nullable=False),
        sa.Column("plugin_data", sa.Text(), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["node_uuid"], ["nodes.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node_uuid"),
    )
    op.create_table(
        "node_traits",
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
        sa.Column("trait", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["node_uuid"], ["nodes.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node_uuid", "trait"),
    )
    op.create_table(
        "ports",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(length=17), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("vendor", sa.String(length=255), nullable=True),
        sa.Column("category", sa.String(length=255), nullable=True),
        sa.Column("portgroup_uuid", sa.String(length=36), nullable=True),
        sa.Column("physical_network", sa.String(length=64), nullable=True),
        sa.Column("pxe_enabled", sa.Boolean(), server_default="1", nullable=False),
        sa.Column("is_smartnic", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("available_for_dynamic_portgroup", sa.Boolean(), server_default="1", nullable=False),
        sa.Column("extra", sa.Text(), server_default="{}", nullable=False),
        sa.Column("internal_info", sa.Text(), server_default="{}", nullable=False),
        sa.Column("local_link_connection", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["node_uuid"], ["nodes.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("address"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index(op.f("ix_ports_node_uuid"), "ports", ["node_uuid"], unique=False)
    op.create_index(op.f("ix_ports_portgroup_uuid"), "ports", ["portgroup_uuid"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
        sa.Column("open_node", sa.String(length=36), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("params", sa.Text(), server_default="{}", nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("memo", sa.Text(), server_default="{}", nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=True),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.Float(), server_default="0", nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("abort_requested", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("wait", sa.Text(), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("wake_at", sa.Float(), server_default="0", nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.Column("deadline", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["node_uuid"], ["nodes.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("open_node"),
    )
    op.create_index("ix_runs_claim", "runs", ["status", "wake_at"], unique=False)
    op.create_index(op.f("ix_runs_node_uuid"), "runs", ["node_uuid"], unique=False)
    op.create_table(
        "run_events",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "seq"),
    )
