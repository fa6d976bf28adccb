"""keys in use are found by an index

Revision: 0036, after 0035
"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

TABLES = ("enrolled_method", "challenge")


def upgrade() -> None:
    sealed = sa.text("secret <> ''")
    for table in TABLES:
        key = sa.text("substr(secret, 4, 8)")
        op.create_index(f"ix_{table}_key", table, [key], sqlite_where=sealed, postgresql_where=sealed)


def downgrade() -> None:
    for table in TABLES:
        op.drop_index(f"ix_{table}_key", table_name=table)
