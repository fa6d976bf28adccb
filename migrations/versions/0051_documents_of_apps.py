"""add apps with a metadata document, and services that any app may use

Revision: 0051, after 0050
"""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "oauth_document",
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fresh_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fault", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_oauth_document")),
    )
    for name in ("host", "asked_at", "due_at"):
        op.create_index(op.f(f"ix_oauth_document_{name}"), "oauth_document", [name])
    op.create_table(
        "oauth_client_resource",
        sa.Column("resource", sa.String(length=1000), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["oauth_client.id"],
            name=op.f("fk_oauth_client_resource_client_id_oauth_client"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("resource", "client_id", name=op.f("pk_oauth_client_resource")),
    )
    op.create_index(op.f("ix_oauth_client_resource_client_id"), "oauth_client_resource", ["client_id"])


def downgrade() -> None:
    op.drop_table("oauth_client_resource")
    op.drop_table("oauth_document")
