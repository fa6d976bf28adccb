"""record the challenge of an event; NULL in rows that the previous release writes

Revision: 0003, after 0001
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.add_column("event", sa.Column("challenge_id", sa.String(length=32), nullable=True))
    online.create_index("ix_event_challenge_id", "event", ["challenge_id"])


def downgrade() -> None:
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_event_challenge_id"))
        batch_op.drop_column("challenge_id")
