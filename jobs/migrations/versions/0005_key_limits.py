"""Limits of API keys: what they are, what of a day is used up, and the backlog of an owner

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OPEN = sa.text("state IN ('queued','running')")


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("pages", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("owner", "day", name=op.f("pk_usage")),
    )
    op.add_column("api_key", sa.Column("limits", sa.JSON(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("document", sa.Column("charged", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_index("ix_job_backlog", "job", ["owner"], postgresql_where=OPEN, sqlite_where=OPEN)


def downgrade() -> None:
    op.drop_index("ix_job_backlog", "job")
    op.drop_column("document", "charged")
    op.drop_column("api_key", "limits")
    op.drop_table("usage")
