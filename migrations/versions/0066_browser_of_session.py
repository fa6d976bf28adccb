"""record the known browser of a session

Revision: 0066, after 0065

The previous release leaves it NULL; those sessions are listed separately from their browser.
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0066"
down_revision = "0065"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.add_column("auth_session", sa.Column("browser", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("auth_session", "browser")
