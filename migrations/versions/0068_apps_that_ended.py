"""index disabled apps, and apps with a metadata document

Revision: 0068, after 0067
"""

from migrations import online

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None

TABLE = "oauth_client"


def upgrade() -> None:
    online.create_index("ix_oauth_client_disabled", TABLE, ["disabled_at"], where="disabled_at IS NOT NULL")
    online.create_index("ix_oauth_client_fetched", TABLE, ["fetched_at"], where="fetched_at IS NOT NULL")


def downgrade() -> None:
    online.drop_index("ix_oauth_client_fetched", TABLE)
    online.drop_index("ix_oauth_client_disabled", TABLE)
