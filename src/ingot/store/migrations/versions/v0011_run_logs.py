"""What ramdisks logged in runs that failed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "run_logs",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
        sa.Column("collected_at", sa.Float(), nullable=False),
        sa.Column("bundle", sa.LargeBinary(length=2**24 - 1), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("ix_run_logs_node_uuid", "run_logs", ["node_uuid"])
