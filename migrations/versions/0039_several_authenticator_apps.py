"""allow several authenticator apps per account, with unique names

The previous release allows one app per user, under a lock of the user's row, so there are no duplicates.

Revision: 0039, after 0038
"""

from migrations import online

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

NAME, TABLE = "ix_enrolled_method_app_name", "enrolled_method"


def upgrade() -> None:
    online.create_index(NAME, TABLE, ["user_id", "name"], unique=True, where="method = 'authenticator'")


def downgrade() -> None:
    online.drop_index(NAME, TABLE)
