"""several authenticator apps: each has a name that no other app of its user has

The release before keeps one app a user, under the lock of the user's row, so no two rows stand in the way.

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
