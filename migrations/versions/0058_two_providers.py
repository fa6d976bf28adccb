"""record which mail server or SMS provider sent a message, and the state of each

Revision: 0058, after 0057
"""

import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_health",
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("channel", "name", name=op.f("pk_provider_health")),
    )
    op.add_column("message", sa.Column("provider", sa.String(length=16), nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    op.drop_column("message", "provider")
    op.drop_table("provider_health")
