"""allow authenticator apps that are only a second factor

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
    op.drop_column("enrolled_method", "signs_in")  # not in a batch, which copies the table and loses its trigger
