"""How Alembic runs a migration here: on the connection that store/upgrade.py hands over, nothing else."""

from __future__ import annotations

from alembic import context

from ingot.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
