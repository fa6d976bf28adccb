"""add the cooldown of new sign-in methods

Revision: 0027, after 0026
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # not in a batch: on SQLite that copies the table, which loses its triggers (0012)
    op.add_column("enrolled_method", sa.Column("weak_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("enrolled_method", "weak_until")
