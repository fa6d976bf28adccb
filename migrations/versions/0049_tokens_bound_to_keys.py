"""record the key that an access token is bound to

Revision: 0049, after 0048
"""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("oauth_token", sa.Column("jkt", sa.String(length=43), nullable=True))


def downgrade() -> None:
    op.drop_column("oauth_token", "jkt")
