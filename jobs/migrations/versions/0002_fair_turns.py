"""Whose turn it is: owners of jobs, pauses, drains, and the indexes that dispatch walks from job to job

Revision: 0002, after 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from jobs.store.clock import Timestamp, now

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SPLIT = "state IN ('queued','running') AND NOT sealed AND worker IS NULL"
_PENDING = "state = 'running' AND pending > 0"


def _where(condition: str) -> dict[str, Any]:
    """A partial index on both databases."""
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    for table in ("job", "document"):
        op.add_column(table, sa.Column("owner", sa.String(), server_default="", nullable=False))
    op.add_column("worker", sa.Column("drain_requested", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "pause",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("since", Timestamp(), server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_pause")),
    )
    _replace_indexes(["priority", "owner", "job_id", "id"])


def downgrade() -> None:
    _replace_indexes(["priority", "id"])
    op.drop_table("pause")
    op.drop_column("worker", "drain_requested")
    for table in ("document", "job"):
        op.drop_column(table, "owner")


def _replace_indexes(columns: list[str]) -> None:
    for name in ("ix_document_split", "ix_document_pending"):
        op.drop_index(name, "document")
    op.create_index("ix_document_split", "document", columns, **_where(_SPLIT))
    op.create_index("ix_document_pending", "document", ["engine", *columns], **_where(_PENDING))
