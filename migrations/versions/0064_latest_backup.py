"""when the database was backed up last is found by an index of those few events

Revision: 0064, after 0063

The release before writes no such event.
"""

from migrations import online

revision = "0064"
down_revision = "0063"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("ix_event_backup", "event", ["at"], where="name = 'backup.created'")


def downgrade() -> None:
    online.drop_index("ix_event_backup", "event")
