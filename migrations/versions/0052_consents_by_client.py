"""index consents by client

Revision: 0052, after 0051
"""

from migrations import online

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

NAME, TABLE = "ix_oauth_consent_client_id", "oauth_consent"


def upgrade() -> None:
    online.create_index(NAME, TABLE, ["client_id"])


def downgrade() -> None:
    online.drop_index(NAME, TABLE)
