"""index old signing keys by when their publication ends

Revision: 0046, after 0045
"""

from alembic import op

from migrations import online

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("ix_oauth_key_published_until", "oauth_key", ["published_until"])


def downgrade() -> None:
    op.drop_index("ix_oauth_key_published_until", table_name="oauth_key")
