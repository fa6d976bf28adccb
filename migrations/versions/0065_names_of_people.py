"""add display names of accounts

Revision: 0065, after 0064

The previous release neither reads nor writes it.
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0065"
down_revision = "0064"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.add_column("user", sa.Column("name", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("user", "name")
