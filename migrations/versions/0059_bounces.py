"""add bounces, complaints and suppressed addresses

Revision: 0059, after 0058
"""

import sqlalchemy as sa
from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "bounce",
        sa.Column("id", number, nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_bounce_user_id_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bounce")),
        sa.UniqueConstraint("event", name=op.f("uq_bounce_event")),
    )
    op.create_table(
        "suppression",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("masked", sa.String(length=254), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_suppression_user_id_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_suppression")),
    )
    op.create_table(
        "hook_token",
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("body", sa.String(length=64), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_hook_token")),
    )
    op.create_table(
        "sns_document",
        sa.Column("url", sa.String(length=1000), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_sns_document")),
    )
    op.create_index(op.f("ix_bounce_digest"), "bounce", ["digest"])
    op.create_index(op.f("ix_bounce_at"), "bounce", ["at"])
    op.create_index(op.f("ix_bounce_user_id"), "bounce", ["user_id"])
    op.create_index(op.f("ix_suppression_since"), "suppression", ["since"])
    op.create_index(op.f("ix_suppression_until"), "suppression", ["until"])
    op.create_index(op.f("ix_suppression_user_id"), "suppression", ["user_id"])
    op.create_index(op.f("ix_hook_token_until"), "hook_token", ["until"])
    op.create_index(op.f("ix_sns_document_due_at"), "sns_document", ["due_at"])
    op.create_index(op.f("ix_sns_document_created_at"), "sns_document", ["created_at"])


def downgrade() -> None:
    op.drop_table("sns_document")
    op.drop_table("hook_token")
    op.drop_table("suppression")
    op.drop_table("bounce")
