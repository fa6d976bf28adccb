"""record the clients in the clients file, so that those removed from it are notified

Revision: 0067, after 0066
"""

import sqlalchemy as sa
from alembic import op

revision = "0067"
down_revision = "0066"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "oauth_file_client",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("registered", sa.JSON(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_file_client")),
    )


def downgrade() -> None:
    op.drop_table("oauth_file_client")
