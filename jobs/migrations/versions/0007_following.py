"""Following a job: how fast workers read, and what failed found without looking at what did not

Revision: 0007, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TROUBLED = "error IS NOT NULL OR failed > 0"
_FAILED = "state = 'failed'"


def upgrade() -> None:
    op.add_column("worker", sa.Column("pace", sa.Float(), nullable=True))
    for name, table, columns, condition in (
        ("ix_document_troubled", "document", ["job_id", "position"], _TROUBLED),
        ("ix_page_failed", "page", ["document_id", "number"], _FAILED),
    ):
        where = sa.text(condition)
        op.create_index(name, table, columns, postgresql_where=where, sqlite_where=where)


def downgrade() -> None:
    op.drop_index("ix_page_failed", "page")
    op.drop_index("ix_document_troubled", "document")
    op.drop_column("worker", "pace")
