"""allow several email addresses per account

Revision: 0016, after 0015
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

HAS_AN_EARLIER_ONE = """
    EXISTS (SELECT 1 FROM identity AS earlier
    WHERE earlier.user_id = identity.user_id AND earlier.kind = identity.kind AND earlier.id < identity.id)
"""


def upgrade() -> None:
    online.add_column("identity", sa.Column("is_primary", sa.Boolean(), server_default=sa.true(), nullable=False))
    online.update("identity", {"is_primary": sa.false()}, sa.text(f"is_primary AND {HAS_AN_EARLIER_ONE}"))
    online.create_index("ix_identity_primary", "identity", ["user_id", "kind"], unique=True, where="is_primary")


def downgrade() -> None:
    op.drop_index("ix_identity_primary", "identity")
    op.drop_column("identity", "is_primary")
