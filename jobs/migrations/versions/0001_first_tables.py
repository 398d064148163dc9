"""First tables

Revision: 0001, the first one.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from jobs.store.clock import Timestamp, now

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _where(condition: str) -> dict[str, Any]:
    """A partial index on both databases."""
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("password", sa.String(), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("manifest", sa.Boolean(), nullable=False),
        sa.Column("documents_total", sa.Integer(), nullable=False),
        sa.Column("documents_succeeded", sa.Integer(), nullable=False),
        sa.Column("documents_partial", sa.Integer(), nullable=False),
        sa.Column("documents_failed", sa.Integer(), nullable=False),
        sa.Column("documents_canceled", sa.Integer(), nullable=False),
        sa.Column("pages_total", sa.Integer(), nullable=False),
        sa.Column("pages_running", sa.Integer(), nullable=False),
        sa.Column("pages_succeeded", sa.Integer(), nullable=False),
        sa.Column("pages_failed", sa.Integer(), nullable=False),
        sa.Column("pages_canceled", sa.Integer(), nullable=False),
        sa.Column("created_at", Timestamp(), server_default=now(), nullable=False),
        sa.Column("started_at", Timestamp(), nullable=True),
        sa.Column("finished_at", Timestamp(), nullable=True),
        sa.Column("deleted_at", Timestamp(), nullable=True),
        sa.Column("purged_at", Timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_index("ix_job_manifest", "job", ["id"], **_where("NOT manifest"))
    op.create_index("ix_job_open", "job", ["id"], **_where("state IN ('queued','running')"))
    op.create_index("ix_job_to_purge", "job", ["id"], **_where("deleted_at IS NOT NULL AND purged_at IS NULL"))
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("expires_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("started_at", Timestamp(), server_default=now(), nullable=False),
        sa.Column("heartbeat_at", Timestamp(), server_default=now(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_index("ix_worker_live", "worker", ["state", "heartbeat_at"])
    op.create_index("ix_worker_slot", "worker", ["host", "slot"])
    op.create_table(
        "document",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source_key", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("ready_at", Timestamp(), server_default=now(), nullable=False),
        sa.Column("rung_at", Timestamp(), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("source_pages", sa.Integer(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("canceled", sa.Integer(), nullable=False),
        sa.Column("result_attempt", sa.Integer(), nullable=True),
        sa.Column("created_at", Timestamp(), server_default=now(), nullable=False),
        sa.Column("finished_at", Timestamp(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_document_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
    )
    op.create_index(
        "ix_document_assemble",
        "document",
        ["priority", "id"],
        **_where("state = 'running' AND sealed AND pending = 0 AND running = 0"),
    )
    op.create_index("ix_document_job", "document", ["job_id", "position"])
    op.create_index(
        "ix_document_pending", "document", ["engine", "priority", "id"], **_where("state = 'running' AND pending > 0")
    )
    op.create_index("ix_document_rung", "document", ["rung_at"], **_where("rung_at IS NOT NULL"))
    op.create_index(
        "ix_document_split",
        "document",
        ["priority", "id"],
        **_where("state IN ('queued','running') AND NOT sealed AND worker IS NULL"),
    )
    op.create_index("ix_document_unfinished", "document", ["job_id"], **_where("state IN ('queued','running')"))
    op.create_index("ix_document_worker", "document", ["worker"], **_where("worker IS NOT NULL"))
    op.create_table(
        "page",
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("ready_at", Timestamp(), server_default=now(), nullable=False),
        sa.Column("rung_at", Timestamp(), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("finished_at", Timestamp(), nullable=True),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_page_document_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("document_id", "number", name=op.f("pk_page")),
    )
    op.create_index(
        "ix_page_canceled_held", "page", ["document_id"], **_where("state = 'canceled' AND worker IS NOT NULL")
    )
    op.create_index("ix_page_held", "page", ["worker"], **_where("state = 'running'"))
    op.create_index("ix_page_rung", "page", ["rung_at"], **_where("state = 'pending' AND rung_at IS NOT NULL"))
    op.create_index(
        "ix_page_silent", "page", ["document_id", "number"], **_where("state = 'pending' AND rung_at IS NULL")
    )
    if op.get_bind().dialect.name == "postgresql":
        # Every page row is updated a handful of times: leave room in its block, so that indexes are not touched.
        op.execute("ALTER TABLE page SET (fillfactor = 70)")
        op.execute("ALTER TABLE document SET (fillfactor = 70)")
        op.execute("ALTER TABLE worker SET (fillfactor = 50)")


def downgrade() -> None:
    for table in ("page", "document", "worker", "lease", "job"):
        op.drop_table(table)
