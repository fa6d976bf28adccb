"""index backup events, to find the latest one

Revision: 0064, after 0063

The previous release writes no such event.
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
