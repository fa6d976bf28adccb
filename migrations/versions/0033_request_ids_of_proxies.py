"""make room for request IDs set by proxies

Revision: 0033, after 0032
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

SAFE_BECAUSE = "the previous release reads longer texts, and PostgreSQL raises the limit without scanning the rows"


def upgrade() -> None:
    # SQLite doesn't enforce lengths
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("event", "request_id", type_=sa.String(64), existing_type=sa.String(32))


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        cut = "left(request_id, 32)::varchar(32)"
        op.alter_column("event", "request_id", type_=sa.String(32), existing_type=sa.String(64), postgresql_using=cut)
