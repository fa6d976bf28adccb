"""add data exports, created by a worker and kept for a day

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    at = sa.DateTime(timezone=True)
    op.create_table(
        "export",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("asked_at", at, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", at, nullable=True),
        sa.Column("ready_at", at, nullable=True),
        sa.Column("expires_at", at, nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_export_user_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_export"),
    )
    for column in ("user_id", "asked_at", "due_at"):
        op.create_index(f"ix_export_{column}", "export", [column])
    op.create_table(
        "export_chunk",
        sa.Column("export_id", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["export_id"], ["export.id"], name="fk_export_chunk_export_id_export", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("export_id", "attempt", "number", name="pk_export_chunk"),
    )


def downgrade() -> None:
    op.drop_table("export_chunk")
    op.drop_table("export")
