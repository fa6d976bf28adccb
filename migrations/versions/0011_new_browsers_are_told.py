"""new browsers are told

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("auth_session", schema=None) as batch_op:
        batch_op.add_column(sa.Column("untold", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.create_index(
            "ix_auth_session_untold",
            ["id"],
            unique=False,
            sqlite_where=sa.text("untold"),
            postgresql_where=sa.text("untold"),
        )


def downgrade() -> None:
    with op.batch_alter_table("auth_session", schema=None) as batch_op:
        batch_op.drop_index("ix_auth_session_untold")
        batch_op.drop_column("untold")
