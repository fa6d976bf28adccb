"""several addresses

Revision: 0016, after 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

OTHERS = "UPDATE identity SET is_primary = false WHERE id NOT IN (SELECT min(id) FROM identity GROUP BY user_id, kind)"


def upgrade() -> None:
    op.add_column("identity", sa.Column("is_primary", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.execute(OTHERS)
    op.create_index(
        "ix_identity_primary",
        "identity",
        ["user_id", "kind"],
        unique=True,
        sqlite_where=sa.text("is_primary"),
        postgresql_where=sa.text("is_primary"),
    )


def downgrade() -> None:
    op.drop_index("ix_identity_primary", "identity")
    op.drop_column("identity", "is_primary")
