"""identities by their beginning, for an operator who searches

Revision: 0037, after 0036

In the order of their bytes: PostgreSQL's usual order of a language knows no beginnings. SQLite has no other order.
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    value = sa.text('value COLLATE "C"' if op.get_bind().dialect.name == "postgresql" else "value")
    online.create_index("ix_identity_prefix", "identity", ["kind", value])


def downgrade() -> None:
    op.drop_index("ix_identity_prefix", "identity")
