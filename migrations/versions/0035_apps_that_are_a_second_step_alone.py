"""apps that are a second step alone

Revision: 0035, after 0034
"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("enrolled_method", sa.Column("signs_in", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("enrolled_method", "signs_in")  # in place: a copy of the table would lose its trigger
