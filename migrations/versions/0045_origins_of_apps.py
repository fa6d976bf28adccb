"""add the origins of apps whose scripts may call the endpoints

Revision: 0045, after 0044
"""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "oauth_client_origin",
        sa.Column("origin", sa.String(length=300), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["oauth_client.id"],
            name=op.f("fk_oauth_client_origin_client_id_oauth_client"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("origin", "client_id", name=op.f("pk_oauth_client_origin")),
    )
    op.create_index(op.f("ix_oauth_client_origin_client_id"), "oauth_client_origin", ["client_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_oauth_client_origin_client_id"), table_name="oauth_client_origin")
    op.drop_table("oauth_client_origin")
