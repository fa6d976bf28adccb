"""mark sessions whose owner has yet to be notified of a new browser

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.add_column("auth_session", sa.Column("untold", sa.Boolean(), server_default=sa.false(), nullable=False))
    online.create_index("ix_auth_session_untold", "auth_session", ["id"], where="untold")


def downgrade() -> None:
    with op.batch_alter_table("auth_session", schema=None) as batch_op:
        batch_op.drop_index("ix_auth_session_untold")
        batch_op.drop_column("untold")
