"""In which project a user's role holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column; users there are keep the whole system."""
    op.add_column("users", sa.Column("project", sa.String(length=255), nullable=True))
