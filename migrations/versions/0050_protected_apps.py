"""add sessions at protected apps, and entry tickets

Revision: 0050, after 0049
"""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "app_session",
        sa.Column("digest", sa.String(length=64), primary_key=True),
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("host", sa.String(length=260), nullable=False),
        sa.Column("app", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    for column in ("session_id", "user_id", "expires_at"):
        op.create_index(f"ix_app_session_{column}", "app_session", [column])
    op.create_table(
        "app_entry_ticket",
        sa.Column("digest", sa.String(length=64), primary_key=True),
        sa.Column("binding", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("host", sa.String(length=260), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    for column in ("user_id", "expires_at"):
        op.create_index(f"ix_app_entry_ticket_{column}", "app_entry_ticket", [column])


def downgrade() -> None:
    op.drop_table("app_entry_ticket")
    op.drop_table("app_session")
