"""denials

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("challenge", schema=None) as batch_op:
        batch_op.add_column(sa.Column("denied_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("auth_session", schema=None) as batch_op:
        batch_op.add_column(sa.Column("challenge_id", sa.String(length=32), nullable=True))
        batch_op.create_index(batch_op.f("ix_auth_session_challenge_id"), ["challenge_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("auth_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_auth_session_challenge_id"))
        batch_op.drop_column("challenge_id")
    with op.batch_alter_table("challenge", schema=None) as batch_op:
        batch_op.drop_column("denied_at")
