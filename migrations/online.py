"""Changes of the tables that a running service does not notice (docs/architecture.md, Migrations).

On PostgreSQL each of them commits by itself, outside the transaction of its migration. So each can be repeated: when a
migration fails half way, the next ``flask db upgrade`` runs it from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

BATCH = 10_000
"""Rows that one statement changes: their locks are held for well under a second."""

UNFINISHED = sa.text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")
"""Whether building an index was cut short. PostgreSQL leaves it behind, unused and in the way."""


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column unless it is there. It must be nullable or have a constant default, so that no row is rewritten."""
    there = sa.inspect(op.get_bind()).get_columns(table)
    if column.name not in {each["name"] for each in there}:
        op.add_column(table, column)


def create_index(
    name: str, table: str, columns: Sequence[str | sa.TextClause], *, unique: bool = False, where: str | None = None
) -> None:
    """Build an index unless it is there. On PostgreSQL reads and writes of the table go on meanwhile."""
    partial = sa.text(where) if where else None
    only: dict[str, Any] = {"sqlite_where": partial, "postgresql_where": partial} if where else {}
    with _outside_transaction() as concurrently:
        if concurrently and op.get_bind().execute(UNFINISHED, {"name": name}).first():
            op.drop_index(name, table, postgresql_concurrently=True)
        op.create_index(
            name, table, list(columns), unique=unique, if_not_exists=True, postgresql_concurrently=concurrently, **only
        )


def drop_index(name: str, table: str) -> None:
    """Drop an index if it is there. On PostgreSQL reads and writes of the table go on meanwhile."""
    with _outside_transaction() as concurrently:
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=concurrently)


def leave_room(table: str, percent: int) -> None:
    """Have PostgreSQL leave so much of each new page of a table free, for later versions of its rows.

    A row that is changed stays out of its indexes while there is room on its page. SQLite changes rows in place.
    """
    with _outside_transaction() as is_postgresql:
        if is_postgresql:
            op.execute(f'ALTER TABLE "{table}" SET (fillfactor = {100 - percent})')


def update(table: str, values: dict[str, Any], where: sa.ColumnElement[bool], *, key: str = "id") -> None:
    """Set ``values`` in the rows ``where`` that holds, in batches along ``key`` that commit one by one.

    ``where`` must not hold for a row that is done.
    """
    rows = sa.table(table, sa.column(key), *map(sa.column, values))
    keys = sa.select(rows.c[key]).order_by(rows.c[key]).limit(BATCH)
    change = sa.update(rows).where(where).values(values)
    begin: list[sa.ColumnElement[bool]] = []
    with _outside_transaction() as is_postgresql:
        if is_postgresql:  # it may know nothing yet of a table that was filled a moment ago, and plan for a small one
            op.execute(f'ANALYZE "{table}"')
        while True:
            batch = keys.where(*begin).subquery()
            last = op.get_bind().scalar(sa.select(sa.func.max(batch.c[key])))
            if last is None:
                return
            op.get_bind().execute(change.where(*begin, rows.c[key] <= last))
            begin = [rows.c[key] > last]


@contextmanager
def _outside_transaction() -> Iterator[bool]:
    """Commit what the migration did so far, and let each statement commit by itself. Says whether it does so."""
    if op.get_bind().dialect.name != "postgresql":
        yield False  # SQLite has one lock for all, and changes 100,000 rows in a second
        return
    with op.get_context().autocommit_block():
        op.get_bind().execute(sa.text("SET statement_timeout = 0"))
        op.get_bind().execute(sa.text("SET lock_timeout = 0"))  # none of these keeps others waiting while it waits
        try:
            yield True
        finally:
            op.get_bind().execute(sa.text("RESET statement_timeout"))
            op.get_bind().execute(sa.text("RESET lock_timeout"))
