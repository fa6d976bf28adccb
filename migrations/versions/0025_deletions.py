"""add account deletions, and never reuse account IDs

Revision: 0025, after 0024
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

PLAIN, COUNTED = "PRIMARY KEY (id)", "PRIMARY KEY (id AUTOINCREMENT)"
NAMED_BY = ("challenge", "event", "message", "standing")
"""Tables that may refer to deleted users."""


def upgrade() -> None:
    at = sa.DateTime(timezone=True)
    online.add_column("user", sa.Column("deletes_at", at, nullable=True))
    online.create_index("ix_user_unconfirmed", "user", ["created_at"], where="confirmed_at IS NULL")
    op.create_table(
        "deletion",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("asked_at", at, nullable=False),
        sa.Column("deletes_at", at, nullable=False),
        sa.Column("remind_at", at, nullable=True),
        sa.Column("due_at", at, nullable=False),
        sa.Column("pseudonym", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_deletion_user_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name="pk_deletion"),
    )
    op.create_index("ix_deletion_remind_at", "deletion", ["remind_at"])
    op.create_index("ix_deletion_due_at", "deletion", ["due_at"])
    if op.get_bind().dialect.name == "sqlite":
        _count_on()


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _declare(COUNTED, PLAIN)
        op.execute("DELETE FROM sqlite_sequence WHERE name = 'user'")
    op.drop_table("deletion")
    op.drop_index("ix_user_unconfirmed", "user")
    op.drop_column("user", "deletes_at")


def _count_on() -> None:
    """Make SQLite remember the highest account ID, as PostgreSQL's sequence does."""
    op.execute("CREATE TABLE latchkey_counted (id INTEGER PRIMARY KEY AUTOINCREMENT)")  # creates sqlite_sequence
    op.execute("DROP TABLE latchkey_counted")
    _declare(PLAIN, COUNTED)
    named = " UNION ALL ".join(f"SELECT max(user_id) FROM {table}" for table in NAMED_BY)  # noqa: S608 - constant names
    highest = f'SELECT max(id) AS id FROM "user" UNION ALL {named}'  # noqa: S608
    op.execute(f"INSERT INTO sqlite_sequence (name, seq) SELECT 'user', coalesce(max(id), 0) FROM ({highest})")  # noqa: S608


def _declare(before: str, after: str) -> None:
    """Change the declaration of ``user`` in place.

    Creating a new table and dropping this one would delete every identity and session, since foreign keys are on and
    can't be turned off within a transaction. Both declarations store rows in the same way (SQLite, Making Other Kinds
    Of Table Schema Changes).
    """
    bind = op.get_bind()
    version = bind.exec_driver_sql("PRAGMA schema_version").scalar_one()
    bind.exec_driver_sql("PRAGMA writable_schema = ON")
    declared = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = 'user'"
    bind.exec_driver_sql(declared, (before, after))
    bind.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    bind.exec_driver_sql("PRAGMA writable_schema = OFF")
    faults = bind.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    if faults != ["ok"]:
        raise RuntimeError(f"the database is not intact: {'; '.join(faults)}")
