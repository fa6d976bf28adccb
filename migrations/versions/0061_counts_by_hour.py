"""add hourly statistics, and index messages by when they were sent

Revision: 0061, after 0060
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0061"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("ix_message_sent_at", "message", ["sent_at", "channel"], where="sent_at IS NOT NULL")
    op.create_table(
        "stat_hour",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "name", name=op.f("pk_stat_hour")),
    )


def downgrade() -> None:
    online.drop_index("ix_message_sent_at", "message")
    op.drop_table("stat_hour")
