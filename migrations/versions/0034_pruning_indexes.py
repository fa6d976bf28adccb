"""add indexes for the cleanup of old rows

Revision: 0034, after 0033
"""

from alembic import op

from migrations import online

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

PARTIAL = {
    "ix_standing_unknown": "first_seen_at IS NULL AND in_a_row = 0",
    "ix_standing_nobodys": "user_id IS NULL",
}
WHOLE = {"refresh_token": "used_at", "export": "expires_at", "recovery": "expires_at"}


def upgrade() -> None:
    for name, where in PARTIAL.items():
        online.create_index(name, "standing", ["touched_at"], where=where)
    for table, column in WHOLE.items():
        online.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    for table, column in WHOLE.items():
        op.drop_index(f"ix_{table}_{column}", table_name=table)
    for name in PARTIAL:
        op.drop_index(name, table_name="standing")
