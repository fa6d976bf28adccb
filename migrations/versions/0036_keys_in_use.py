"""index rows by their encryption key

Revision: 0036, after 0035
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

TABLES = ("enrolled_method", "challenge")


def upgrade() -> None:
    for table in TABLES:
        online.create_index(f"ix_{table}_key", table, [sa.text("substr(secret, 4, 8)")], where="secret <> ''")


def downgrade() -> None:
    for table in TABLES:
        op.drop_index(f"ix_{table}_key", table_name=table)
