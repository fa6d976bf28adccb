"""record which session added a sign-in method

Revision: 0014, after 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("enrolled_method", sa.Column("family", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column("enrolled_method", "family")  # not in a batch, which copies the table and loses its trigger
