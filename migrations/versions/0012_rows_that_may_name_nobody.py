"""replace foreign keys with delete triggers for columns that may be NULL

A foreign key check takes longer for an existing user than for NULL, and that difference revealed who has an account.

Revision: 0012, after 0011
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

KEYS = {
    "challenge": {"user_id": ("user", "CASCADE"), "enrolled_id": ("enrolled_method", "CASCADE")},
    "standing": {"user_id": ("user", "CASCADE")},
    "message": {"user_id": ("user", "SET NULL")},
    "event": {"user_id": ("user", "SET NULL")},
}
"""Table, column, referenced table, and what happens to the row when the referenced one is deleted."""


def upgrade() -> None:
    for table, columns in KEYS.items():
        with op.batch_alter_table(table) as batch_op:
            for column, (named, _) in columns.items():
                batch_op.drop_constraint(f"fk_{table}_{column}_{named}", type_="foreignkey")
    for named in ("user", "enrolled_method"):
        _follow(named, "; ".join(_when_deleted(named)))


def downgrade() -> None:
    for named in ("user", "enrolled_method"):
        op.execute(f"DROP TRIGGER {named}_is_gone" + (f' ON "{named}"' if _is_postgresql() else ""))
        if _is_postgresql():
            op.execute(f"DROP FUNCTION {named}_is_gone()")
    for table, columns in KEYS.items():
        for column, (named, what) in columns.items():
            orphans = f'{column} IS NOT NULL AND {column} NOT IN (SELECT id FROM "{named}")'  # noqa: S608 - constant names
            op.execute(_forget(table, column, what, orphans))
        with op.batch_alter_table(table) as batch_op:
            for column, (named, what) in columns.items():
                name = f"fk_{table}_{column}_{named}"
                batch_op.create_foreign_key(name, named, [column], ["id"], ondelete=what)


def _follow(named: str, statements: str) -> None:
    """Create a trigger that runs ``statements`` for each deleted row of ``named``."""
    if not _is_postgresql():
        op.execute(f'CREATE TRIGGER {named}_is_gone AFTER DELETE ON "{named}" BEGIN {statements}; END')
        return
    op.execute(
        f"CREATE FUNCTION {named}_is_gone() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {statements}; RETURN NULL; END $$"
    )
    op.execute(
        f'CREATE TRIGGER {named}_is_gone AFTER DELETE ON "{named}" FOR EACH ROW EXECUTE FUNCTION {named}_is_gone()'
    )


def _when_deleted(named: str) -> list[str]:
    return [
        _forget(table, column, what, f"{column} = OLD.id")
        for table, columns in KEYS.items()
        for column, (of, what) in columns.items()
        if of == named
    ]


def _forget(table: str, column: str, what: str, where: str) -> str:
    if what == "CASCADE":
        return f"DELETE FROM {table} WHERE {where}"  # noqa: S608 - constant names
    return f"UPDATE {table} SET {column} = NULL WHERE {where}"  # noqa: S608 - constant names


def _is_postgresql() -> bool:
    connection: Any = op.get_bind()
    return isinstance(connection, sa.Connection) and connection.dialect.name == "postgresql"
