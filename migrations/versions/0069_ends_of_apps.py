"""queue apps that were disabled or deleted, until a worker has ended their grants

Revision: 0069, after 0068
"""

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0068"
branch_labels = None
depends_on = None

TABLE = "oauth_client_end"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("registered", sa.JSON(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_client_end")),
    )
    op.create_index(op.f("ix_oauth_client_end_client_id"), TABLE, ["client_id"])
    op.create_index(op.f("ix_oauth_client_end_due_at"), TABLE, ["due_at"])


def downgrade() -> None:
    op.drop_table(TABLE)
