"""What reading took of an engine: its time and tokens, by document and job

Old processes go on beside it: what they write leaves the columns at 0.

Revision: 0011, after 0010.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COLUMNS = ("engine_micros", "tokens_in", "tokens_out")


def upgrade() -> None:
    for table in ("job", "document"):
        for name in _COLUMNS:
            op.add_column(table, sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    for table in ("document", "job"):
        for name in reversed(_COLUMNS):
            op.drop_column(table, name)
