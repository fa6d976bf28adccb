"""record reports ("this wasn't me") of challenges, and the challenge of a session

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.add_column("challenge", sa.Column("denied_at", sa.DateTime(timezone=True), nullable=True))
    online.add_column("auth_session", sa.Column("challenge_id", sa.String(length=32), nullable=True))
    online.create_index("ix_auth_session_challenge_id", "auth_session", ["challenge_id"])


def downgrade() -> None:
    with op.batch_alter_table("auth_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_auth_session_challenge_id"))
        batch_op.drop_column("challenge_id")
    with op.batch_alter_table("challenge", schema=None) as batch_op:
        batch_op.drop_column("denied_at")
