"""add send windows, and index sent text messages by time

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TEXTS = "channel = 'sms'"


def upgrade() -> None:
    op.create_table(
        "send_window",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_send_window")),
    )
    with op.batch_alter_table("send_window", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_send_window_began_at"), ["began_at"], unique=False)
    online.create_index("ix_message_texts_sent_at", "message", ["sent_at"], where=TEXTS)


def downgrade() -> None:
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_index("ix_message_texts_sent_at")
    with op.batch_alter_table("send_window", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_send_window_began_at"))

    op.drop_table("send_window")
