"""Allocations, and the index by which free nodes are found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0015"


def upgrade() -> None:
    """Make the table and the indexes."""
    op.create_table(
        "allocations",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("node_uuid", sa.String(length=36), nullable=True),
        sa.Column("resource_class", sa.String(length=80), nullable=True),
        sa.Column("owner", sa.String(length=255), nullable=True),
        sa.Column("traits", sa.Text(), server_default="{}", nullable=False),
        sa.Column("candidate_nodes", sa.Text(), server_default="{}", nullable=False),
        sa.Column("extra", sa.Text(), server_default="{}", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["node_uuid"], ["nodes.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("node_uuid"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index("ix_allocations_state", "allocations", ["state", "id"])
    op.create_index(
        "ix_nodes_free", "nodes", ["resource_class", "provision_state", "maintenance", "instance_uuid", "id"]
    )
