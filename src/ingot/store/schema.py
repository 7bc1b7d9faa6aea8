"""The tables, once, for every database; migrations must lead to exactly this. Those of machines are in machines.py.

May not: run statements. Invariant: see columns.py.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from ingot.store.columns import COUNT, TIME, UUID, identity, json, metadata, of_node, times
from ingot.store.machines import (
    chassis,
    node_bios,
    node_firmware,
    node_history,
    node_inventory,
    node_traits,
    nodes,
    portgroups,
    ports,
    volume_connectors,
    volume_targets,
)

__all__ = [
    "allocations",
    "chassis",
    "conductors",
    "deploy_templates",
    "events",
    "inspection_rules",
    "metadata",
    "node_bios",
    "node_firmware",
    "node_history",
    "node_inventory",
    "node_traits",
    "nodes",
    "portgroups",
    "ports",
    "run_events",
    "run_logs",
    "runbooks",
    "runs",
    "tokens",
    "users",
    "volume_connectors",
    "volume_targets",
    "webhook_deliveries",
    "webhooks",
]

allocations = Table(
    "allocations",
    metadata,
    *identity(),
    Column("name", String(255), unique=True),
    Column("state", String(16), nullable=False),
    # Unique: a node never serves two allocations, whatever the code above does.
    Column("node_uuid", UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), unique=True),
    Column("resource_class", String(80)),
    Column("owner", String(255)),
    json("traits"),
    json("candidate_nodes"),
    json("extra"),
    Column("last_error", Text),
    *times(),
    Index("ix_allocations_state", "state", "id"),
)

deploy_templates = Table(
    "deploy_templates",
    metadata,
    *identity(),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", String(255)),
    json("steps"),
    json("extra"),
    # Sealed: the secrets among the steps' arguments.
    Column("secrets", Text),
    *times(),
)

runbooks = Table(
    "runbooks",
    metadata,
    *identity(),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", String(255)),
    json("steps"),
    json("extra"),
    Column("secrets", Text),
    Column("disable_ramdisk", Boolean, nullable=False, server_default="0"),
    Column("public", Boolean, nullable=False, server_default="0"),
    Column("owner", String(255)),
    json("traits"),
    *times(),
)

inspection_rules = Table(
    "inspection_rules",
    metadata,
    *identity(),
    Column("description", String(255)),
    Column("priority", Integer, nullable=False),
    Column("sensitive", Boolean, nullable=False),
    Column("phase", String(16), nullable=False),
    # Sealed: conditions and actions.
    Column("secrets", Text, nullable=False),
    *times(),
)

conductors = Table(
    "conductors",
    metadata,
    Column("hostname", String(255), primary_key=True),
    Column("boot_id", UUID, nullable=False),
    Column("conductor_group", String(255), nullable=False, server_default=""),
    Column("drivers", Text, nullable=False, server_default="[]"),
    Column("online", Boolean, nullable=False),
    Column("seen_at", Float, nullable=False),
    *times(),
)

# One row: the oldest version of these tables whose programs work with them.
compatibility = Table("compatibility", metadata, Column("oldest", String(8), primary_key=True))

runs = Table(
    "runs",
    metadata,
    Column("id", UUID, primary_key=True),
    of_node(),
    # The node's uuid while the run is open, else null: a unique index that every database has.
    Column("open_node", UUID, unique=True),
    Column("kind", String(32), nullable=False),
    json("params"),
    Column("plan", Text),
    json("memo"),
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
    Column("run_id", UUID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, nullable=False),
    Column("event", String(16), nullable=False),
    Column("detail", Text),
    Column("at", Float, nullable=False),
)

run_logs = Table(
    "run_logs",
    metadata,
    Column("run_id", UUID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("node_uuid", UUID, nullable=False, index=True),
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
    Column("created_at", TIME, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("user_name", String(255), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("label", String(255), nullable=False, server_default=""),
    # SHA-256 of the token, which is 256 random bits.
    Column("digest", String(64), nullable=False, unique=True),
    Column("role", String(32), nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("expires_at", Float, nullable=False),
)

# Written by triggers (store/triggers.py). Owner and lessee are the node's at that moment: who might see it then.
events = Table(
    "events",
    metadata,
    Column("id", COUNT, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("node_uuid", UUID, nullable=False),
    Column("owner", String(255)),
    Column("lessee", String(255)),
    Column("body", Text, nullable=False),
    sqlite_autoincrement=True,
)

webhooks = Table(
    "webhooks",
    metadata,
    *identity(),
    Column("url", String(2048), nullable=False),
    Column("description", String(255)),
    Column("kinds", Text, nullable=False, server_default="[]"),
    Column("enabled", Boolean, nullable=False, server_default="1"),
    # Sealed: the key by which deliveries are signed.
    Column("secrets", Text, nullable=False),
    # The last event that is dealt with, how often the next one was tried, and when to look again (epoch seconds).
    Column("last_event", COUNT, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", Float, nullable=False, server_default="0"),
    *times(),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", COUNT, primary_key=True, autoincrement=True),
    Column("webhook_uuid", UUID, ForeignKey("webhooks.uuid", ondelete="CASCADE"), nullable=False, index=True),
    Column("event_id", COUNT, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("duration", Float, nullable=False),
    Column("status", Integer),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text),
)
