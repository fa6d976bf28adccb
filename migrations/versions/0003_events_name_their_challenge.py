"""events name their challenge; empty for what the release before this one still writes

Revision: 0003, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.add_column(sa.Column("challenge_id", sa.String(length=32), nullable=True))
        batch_op.create_index(batch_op.f("ix_event_challenge_id"), ["challenge_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_event_challenge_id"))
        batch_op.drop_column("challenge_id")
