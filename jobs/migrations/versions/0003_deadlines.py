"""Deadlines: when a document began and when its job's time is over

Revision: 0003, after 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from jobs.store.clock import Timestamp

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OPEN = "deadline_at IS NOT NULL AND state IN ('queued','running')"
_RUNNING = "state = 'running'"


def upgrade() -> None:
    for name in ("started_at", "deadline_at"):
        op.add_column("document", sa.Column(name, Timestamp(), nullable=True))
    for name, column, condition in (
        ("ix_document_deadline", "deadline_at", _OPEN),
        ("ix_document_started", "started_at", _RUNNING),
    ):
        where = sa.text(condition)
        op.create_index(name, "document", [column], postgresql_where=where, sqlite_where=where)


def downgrade() -> None:
    for name in ("ix_document_deadline", "ix_document_started"):
        op.drop_index(name, "document")
    for name in ("started_at", "deadline_at"):
        op.drop_column("document", name)
