"""drop index entries that a sign-in writes and no query needs

Revision: 0062, after 0061

The previous release works without these indexes, but reads more for its cleanup of failure counters and for the
timeline of an attempt.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0062"
down_revision = "0061"
branch_labels = None
depends_on = None

SUPPORT, NOBODYS = "support_id <> ''", "user_id IS NULL OR name = 'account.created'"
COUNTERS = {
    "ix_standing_touched_at": None,
    "ix_standing_unknown": "first_seen_at IS NULL AND in_a_row = 0",
    "ix_standing_nobodys": "user_id IS NULL",
}
CHANGED_OFTEN = ("auth_session", "challenge", "enrolled_method", "standing")
"""Tables whose rows are updated often: each page keeps free space for new row versions."""


def upgrade() -> None:
    _end_challenges("user_id = OLD.user_id AND enrolled_id = OLD.id")
    for table in CHANGED_OFTEN:
        online.reserve_page_space(table, percent=20)
    online.create_index("ix_event_support", "event", ["support_id"], where=SUPPORT)
    online.create_index("ix_event_challenge", "event", ["challenge_id"], where=NOBODYS)
    online.drop_index("ix_event_support_id", "event")
    online.drop_index("ix_event_challenge_id", "event")
    online.drop_index("ix_challenge_enrolled_id", "challenge")
    for name in COUNTERS:
        online.drop_index(name, "standing")


def downgrade() -> None:
    for name, where in COUNTERS.items():
        online.create_index(name, "standing", ["touched_at"], where=where)
    online.create_index("ix_challenge_enrolled_id", "challenge", ["enrolled_id"])
    online.create_index("ix_event_challenge_id", "event", ["challenge_id"])
    online.create_index("ix_event_support_id", "event", ["support_id"])
    online.drop_index("ix_event_challenge", "event")
    online.drop_index("ix_event_support", "event")
    for table in CHANGED_OFTEN:
        online.reserve_page_space(table, percent=0)
    _end_challenges("enrolled_id = OLD.id")


def _end_challenges(where: str) -> None:
    """Replace the trigger that deletes the challenges of a removed method: those that match ``where``."""
    body = f"BEGIN DELETE FROM challenge WHERE {where};"  # noqa: S608 - constant names
    connection: Any = op.get_bind()
    if isinstance(connection, sa.Connection) and connection.dialect.name == "postgresql":
        op.execute(
            "CREATE OR REPLACE FUNCTION enrolled_method_is_gone() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ {body} RETURN NULL; END $$"
        )
        return
    op.execute("DROP TRIGGER enrolled_method_is_gone")
    op.execute(f"CREATE TRIGGER enrolled_method_is_gone AFTER DELETE ON enrolled_method {body} END")
