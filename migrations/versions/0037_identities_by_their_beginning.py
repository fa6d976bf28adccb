"""index identities for prefix searches by operators

Revision: 0037, after 0036

With collation "C": PostgreSQL can't use an index in a language's collation for prefixes. SQLite compares bytes anyway.
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
