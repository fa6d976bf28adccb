"""add administrators, their console sessions, and one-time links for the first administrator

Revision: 0053, after 0052
"""

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "administrator",
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted_by", sa.String(length=64), nullable=False),
    )
    op.create_table(
        "admin_visit",
        sa.Column("session_id", sa.String(length=32), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_admin_visit_user_id", "admin_visit", ["user_id"])
    op.create_index("ix_admin_visit_opened_at", "admin_visit", ["opened_at"])
    op.create_table(
        "admin_link",
        sa.Column("digest", sa.String(length=64), primary_key=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index("ix_admin_link_expires_at", "admin_link", ["expires_at"])


def downgrade() -> None:
    op.drop_table("admin_link")
    op.drop_table("admin_visit")
    op.drop_table("administrator")
