"""add pending sign-ins that wait for a second factor

Revision: 0020, after 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pending_sign_in",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("amr", sa.String(length=128), nullable=False),
        sa.Column("answered_id", sa.String(length=32), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("choices", sa.String(length=128), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("question_id", sa.String(length=32), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("remember", sa.Boolean(), nullable=False),
        sa.Column("next", sa.Text(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=256), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_pending_sign_in_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_sign_in")),
        sa.UniqueConstraint("digest", name=op.f("uq_pending_sign_in_digest")),
    )
    for column in ("user_id", "answered_id", "expires_at"):
        op.create_index(op.f(f"ix_pending_sign_in_{column}"), "pending_sign_in", [column], unique=False)
    # not in a batch: on SQLite that copies the table, which loses its triggers (0012)
    op.add_column("enrolled_method", sa.Column("is_second", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("enrolled_method", sa.Column("misses", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("enrolled_method", "misses")
    op.drop_column("enrolled_method", "is_second")
    op.drop_table("pending_sign_in")
