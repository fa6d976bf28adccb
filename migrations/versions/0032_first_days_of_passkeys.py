"""add the cooldown of new passkeys

Revision: 0032, after 0031
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # not in a batch: on SQLite that copies the table, which loses its triggers (0012)
    op.add_column("passkey", sa.Column("weak_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("passkey", "weak_until")
