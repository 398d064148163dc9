"""Alembic's entry: runs the migrations on the connection that `jobs.migrations.upgrade` opened."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import jobs.models  # noqa: F401 - fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transactional_ddl=True,
    render_as_batch=False,
)
with context.begin_transaction():
    context.run_migrations()
