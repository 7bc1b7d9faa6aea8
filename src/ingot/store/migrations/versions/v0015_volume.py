"""Volume connectors and volume targets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "volume_connectors",
        *_first(),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("connector_id", sa.String(length=255), nullable=False),
        *_last(),
        sa.UniqueConstraint("type", "connector_id"),
    )
    op.create_index("ix_volume_connectors_node_uuid", "volume_connectors", ["node_uuid"])
    op.create_table(
        "volume_targets",
        *_first(),
        sa.Column("volume_type", sa.String(length=64), nullable=False),
        sa.Column("volume_id", sa.String(length=255), nullable=False),
        sa.Column("boot_index", sa.Integer(), nullable=False),
        sa.Column("properties", sa.Text(), server_default="{}", nullable=False),
        sa.Column("secrets", sa.Text(), nullable=True),
        *_last(),
        sa.UniqueConstraint("node_uuid", "boot_index"),
    )
    op.create_index("ix_volume_targets_node_uuid", "volume_targets", ["node_uuid"])


def _first() -> tuple[sa.Column[int] | sa.Column[str], ...]:
    return (
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
    )


def _last() -> tuple[sa.Column[str] | sa.Constraint, ...]:
    return (
        sa.Column("extra", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["node_uuid"], ["nodes.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("uuid"),
    )
