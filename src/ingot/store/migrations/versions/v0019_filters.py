"""Indexes for the filters of node lists that few nodes pass."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Make them."""
    for name, column, few in (
        ("fault", "fault", "fault IS NOT NULL"),
        ("conductor_group", "conductor_group", "conductor_group != ''"),
        ("associated", "id", "instance_uuid IS NOT NULL"),
    ):
        where = sa.text(few)
        op.create_index(f"ix_nodes_{name}", "nodes", [column], sqlite_where=where, postgresql_where=where)
    for name in ("maintenance", "retired"):
        some, true = sa.text(f"{name} = 1"), sa.text(name)
        op.create_index(f"ix_nodes_{name}", "nodes", [name], sqlite_where=some, postgresql_where=true)
