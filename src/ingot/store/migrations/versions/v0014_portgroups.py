"""Port groups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "portgroups",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(length=17), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("mode", sa.String(length=255), nullable=True),
        sa.Column("standalone_ports_supported", sa.Boolean(), server_default="1", nullable=False),
        sa.Column("dynamic_portgroup", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("physical_network", sa.String(length=64), nullable=True),
        sa.Column("category", sa.String(length=80), nullable=True),
        sa.Column("extra", sa.Text(), server_default="{}", nullable=False),
        sa.Column("internal_info", sa.Text(), server_default="{}", nullable=False),
        sa.Column("properties", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["node_uuid"], ["nodes.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("address"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index("ix_portgroups_node_uuid", "portgroups", ["node_uuid"])
