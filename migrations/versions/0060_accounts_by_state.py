"""index disabled accounts and those scheduled for deletion

Revision: 0060, after 0059
"""

from migrations import online

revision = "0060"
down_revision = "0059"
branch_labels = None
depends_on = None

INDEXES = {"ix_user_disabled": "disabled_at IS NOT NULL", "ix_user_deleting": "deletes_at IS NOT NULL"}


def upgrade() -> None:
    for name, where in INDEXES.items():
        online.create_index(name, "user", ["id"], where=where)


def downgrade() -> None:
    for name in INDEXES:
        online.drop_index(name, "user")
