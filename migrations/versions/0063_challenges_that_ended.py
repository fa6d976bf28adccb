"""index expired challenges for the cleanup only, and drop the index of expired penalties

Revision: 0063, after 0062

The previous release then finds both without an index.
"""

from migrations import online

revision = "0063"
down_revision = "0062"
branch_labels = None
depends_on = None

TABLE, WHERE = "challenge", "purpose <> ''"


def upgrade() -> None:
    online.create_index("ix_challenge_ended", TABLE, ["expires_at"], where=WHERE)
    online.create_index("ix_challenge_binding", TABLE, ["binding"])
    online.drop_index("ix_challenge_expires_at", TABLE)
    online.drop_index("ix_challenge_binding_created_at", TABLE)
    online.drop_index("ix_penalty_until", "penalty")


def downgrade() -> None:
    online.create_index("ix_penalty_until", "penalty", ["until"])
    online.create_index("ix_challenge_binding_created_at", TABLE, ["binding", "created_at"])
    online.create_index("ix_challenge_expires_at", TABLE, ["expires_at"])
    online.drop_index("ix_challenge_binding", TABLE)
    online.drop_index("ix_challenge_ended", TABLE)
