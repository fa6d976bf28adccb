"""index messages that were given up

Revision: 0056, after 0055
"""

from migrations import online

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("ix_message_abandoned", "message", ["created_at", "destination"], where="state = 'abandoned'")


def downgrade() -> None:
    online.drop_index("ix_message_abandoned", "message")
