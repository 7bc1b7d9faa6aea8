"""Which programs may work with these tables (store/compatibility.py)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Make the table."""
    op.create_table("compatibility", sa.Column("oldest", sa.String(length=8), primary_key=True))
