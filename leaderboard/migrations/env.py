"""Runs the migrations on the connection that the store hands over."""

from __future__ import annotations

from alembic import context

from leaderboard.store.schema import TableBase

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=TableBase.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
