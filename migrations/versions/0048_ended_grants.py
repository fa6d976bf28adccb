"""record when the session of a grant ended, so that its app is notified once

Revision: 0048, after 0047
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.add_column("oauth_grant", sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("oauth_grant", "ended_at")
