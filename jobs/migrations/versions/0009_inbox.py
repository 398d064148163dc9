"""Drop folders: which objects were taken; and where documents' results are wanted

Revision: 0009, after 0008.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from jobs.store.clock import Timestamp, now

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_DUE = "unpublished AND state IN ('succeeded','partial','failed','canceled')"


def upgrade() -> None:
    op.create_table(
        "inbox_object",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("inbox", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("etag", sa.String(), nullable=False),
        sa.Column("modified", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=True),
        sa.Column("held_until", Timestamp(), nullable=True),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.Column("document_id", sa.String(), nullable=True),
        sa.Column("original", sa.String(), server_default="", nullable=False),
        sa.Column("moved_etag", sa.String(), nullable=True),
        sa.Column("taken_at", Timestamp(), server_default=now(), nullable=False),
        sa.Column("ended_at", Timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox_object")),
    )
    op.create_index("ix_inbox_object_document", "inbox_object", ["document_id"])
    forgettable = sa.text("original IN ('done','failed')")
    op.create_index(
        "ix_inbox_object_forgettable",
        "inbox_object",
        ["ended_at"],
        postgresql_where=forgettable,
        sqlite_where=forgettable,
    )
    op.create_table(
        "publication",
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("rank", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=True),
        sa.Column("held_until", Timestamp(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("ready_at", Timestamp(), server_default=now(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("published", sa.String(), nullable=True),
        sa.Column("published_at", Timestamp(), nullable=True),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["document.id"],
            name=op.f("fk_publication_document_id_document"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_publication")),
    )
    waiting, written = sa.text("state = 'waiting'"), sa.text("published_at IS NOT NULL")
    op.create_index("ix_publication_waiting", "publication", ["target"], postgresql_where=waiting, sqlite_where=waiting)
    op.create_index(
        "ix_publication_written", "publication", ["target", "rank"], postgresql_where=written, sqlite_where=written
    )
    op.add_column("document", sa.Column("unpublished", sa.Boolean(), server_default=sa.false(), nullable=False))
    due = sa.text(_DUE)
    op.create_index("ix_document_unpublished", "document", ["id"], postgresql_where=due, sqlite_where=due)


def downgrade() -> None:
    op.drop_index("ix_document_unpublished", "document")
    op.drop_column("document", "unpublished")
    op.drop_table("publication")
    op.drop_table("inbox_object")
