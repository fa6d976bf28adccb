"""record the session that requested a change

Revision: 0030, after 0029
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # NULL in pending changes, which have to be requested again
    op.add_column("challenge", sa.Column("family", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column("challenge", "family")
