"""Results that are used again: what was asked, what read it, and what was copied

Revision: 0010, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

REUSABLE = "state = 'succeeded' AND reuse_key IS NOT NULL AND reader IS NOT NULL"


def upgrade() -> None:
    op.add_column("worker", sa.Column("reader", sa.String(), nullable=True))
    op.add_column("document", sa.Column("reuse_key", sa.String(), nullable=True))
    op.add_column("document", sa.Column("reader", sa.String(), nullable=True))
    op.add_column("document", sa.Column("cached", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("document", sa.Column("copied", sa.Integer(), server_default=sa.text("0"), nullable=False))
    where = sa.text(REUSABLE)
    op.create_index(
        "ix_document_reuse", "document", ["reuse_key", "id"], postgresql_where=where, sqlite_where=where
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_document_reuse", "document")
    for name in ("copied", "cached", "reader", "reuse_key"):
        op.drop_column("document", name)
    op.drop_column("worker", "reader")
