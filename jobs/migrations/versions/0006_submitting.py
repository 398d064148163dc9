"""Sources elsewhere, listings, uploads by link, Idempotency-Keys, retention, and what keys may reach

Revision: 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from jobs.store.clock import Timestamp, now

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WAITS = "state IN ('queued','running') AND NOT sealed AND worker IS NULL"
EXPIRES = "expires_at IS NOT NULL AND deleted_at IS NULL"
TURNS = ["priority", "owner", "job_id", "id"]


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))


def upgrade() -> None:
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("created_at", Timestamp(), server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_created", "idempotency", ["created_at"])
    op.create_table(
        "upload",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), server_default="", nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", Timestamp(), server_default=now(), nullable=False),
        sa.Column("expires_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
    )
    op.create_index("ix_upload_expires", "upload", ["expires_at"])
    op.create_table(
        "listing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("cursor", sa.String(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("ready_at", Timestamp(), server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_listing_job_id_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listing")),
    )
    op.create_index("ix_listing_job", "listing", ["job_id"])
    op.add_column("api_key", sa.Column("grants", sa.JSON(), server_default=sa.text("'{}'"), nullable=False))
    for name in ("retention_seconds", "source_retention_seconds"):
        op.add_column("job", sa.Column(name, sa.Float(), nullable=True))
    for name in ("deadline_at", "expires_at", "sources_expire_at"):
        op.add_column("job", sa.Column(name, Timestamp(), nullable=True))
    for name in ("source_url", "source_etag", "origin"):
        op.add_column("document", sa.Column(name, sa.String(), nullable=True))
    _index("ix_job_expires", "job", ["expires_at"], EXPIRES)
    _index("ix_job_sources", "job", ["sources_expire_at"], "sources_expire_at IS NOT NULL")
    op.drop_index("ix_document_split", "document")
    _index("ix_document_split", "document", TURNS, f"{WAITS} AND source_url IS NULL")
    _index("ix_document_fetch", "document", TURNS, f"{WAITS} AND source_url IS NOT NULL")


def downgrade() -> None:
    op.drop_index("ix_document_fetch", "document")
    op.drop_index("ix_document_split", "document")
    _index("ix_document_split", "document", TURNS, WAITS)
    op.drop_index("ix_job_sources", "job")
    op.drop_index("ix_job_expires", "job")
    for name in ("origin", "source_etag", "source_url"):
        op.drop_column("document", name)
    for name in ("sources_expire_at", "expires_at", "deadline_at", "source_retention_seconds", "retention_seconds"):
        op.drop_column("job", name)
    op.drop_column("api_key", "grants")
    op.drop_table("listing")
    op.drop_table("upload")
    op.drop_table("idempotency")
