"""record each worker's release, machine, start and last sweep

Revision: 0055, after 0054
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None

COLUMNS = ("replica", "version", "started_at", "swept_at")


def upgrade() -> None:
    online.add_column("lease", sa.Column("replica", sa.String(64), nullable=True))
    online.add_column("lease", sa.Column("version", sa.String(16), nullable=True))
    online.add_column("lease", sa.Column("started_at", sa.DateTime(timezone=True), nullable=True))
    online.add_column("lease", sa.Column("swept_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("lease") as table:
        for name in reversed(COLUMNS):
            table.drop_column(name)
