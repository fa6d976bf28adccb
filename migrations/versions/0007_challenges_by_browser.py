"""index challenges by browser, to show the page again after a rejected sign-in

Revision: 0007, after 0006
"""

from alembic import op

from migrations import online

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("ix_challenge_binding_created_at", "challenge", ["binding", "created_at"])


def downgrade() -> None:
    with op.batch_alter_table("challenge", schema=None) as batch_op:
        batch_op.drop_index("ix_challenge_binding_created_at")
