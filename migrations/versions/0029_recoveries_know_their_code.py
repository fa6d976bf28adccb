"""record the challenge that started a recovery

Revision: 0029, after 0028
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recovery", sa.Column("challenge_id", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column("recovery", "challenge_id")
