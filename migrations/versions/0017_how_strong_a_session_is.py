"""record when and how strongly a session was last verified

Revision: 0017, after 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Existing sessions have NULL: one factor, and no recent verification, so they have to reauthenticate.
    op.add_column("auth_session", sa.Column("proved_amr", sa.String(length=128), nullable=True))
    op.add_column("auth_session", sa.Column("proved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("auth_session", sa.Column("second_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("second_at", "proved_at", "proved_amr"):
        op.drop_column("auth_session", name)
