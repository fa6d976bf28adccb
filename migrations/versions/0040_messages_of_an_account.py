"""index messages by account and by recipient, for exports and erasure

Revision: 0040, after 0039
"""

from alembic import op

from migrations import online

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

COLUMNS = ("user_id", "to")


def upgrade() -> None:
    for column in COLUMNS:
        online.create_index(f"ix_message_{column}", "message", [column])


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_index(f"ix_message_{column}", table_name="message")
