"""Schema changes that don't block a running service (docs/architecture.md, Migrations).

On PostgreSQL, each commits on its own, outside the migration's transaction, and so must be repeatable: if a migration
fails halfway, the next ``flask db upgrade`` runs all of it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

BATCH = 10_000
"""Rows updated by one statement, so that it holds their locks for well under a second."""

UNFINISHED = sa.text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")
"""Whether building an index was interrupted. PostgreSQL keeps it as invalid, and it blocks the name."""


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column unless it exists. It must be nullable or have a constant default, so that no row is rewritten."""
    existing = sa.inspect(op.get_bind()).get_columns(table)
    if column.name not in {each["name"] for each in existing}:
        op.add_column(table, column)


def create_index(
    name: str, table: str, columns: Sequence[str | sa.TextClause], *, unique: bool = False, where: str | None = None
) -> None:
    """Create an index unless it exists. On PostgreSQL, this doesn't block reads and writes of the table."""
    partial = sa.text(where) if where else None
    only: dict[str, Any] = {"sqlite_where": partial, "postgresql_where": partial} if where else {}
    with _outside_transaction() as concurrently:
        if concurrently and op.get_bind().execute(UNFINISHED, {"name": name}).first():
            op.drop_index(name, table, postgresql_concurrently=True)
        op.create_index(
            name, table, list(columns), unique=unique, if_not_exists=True, postgresql_concurrently=concurrently, **only
        )


def drop_index(name: str, table: str) -> None:
    """Drop an index if it exists. On PostgreSQL, this doesn't block reads and writes of the table."""
    with _outside_transaction() as concurrently:
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=concurrently)


def reserve_page_space(table: str, percent: int) -> None:
    """Make PostgreSQL leave ``percent`` of each new page of a table free, for later versions of its rows.

    While its page has space, an updated row needs no new index entries (HOT). SQLite updates rows in place.
    """
    with _outside_transaction() as is_postgresql:
        if is_postgresql:
            op.execute(f'ALTER TABLE "{table}" SET (fillfactor = {100 - percent})')


def update(table: str, values: dict[str, Any], where: sa.ColumnElement[bool], *, key: str = "id") -> None:
    """Set ``values`` in the rows that match ``where``, in batches by ``key``, each committed on its own.

    ``where`` must not match rows that are already updated.
    """
    rows = sa.table(table, sa.column(key), *map(sa.column, values))
    keys = sa.select(rows.c[key]).order_by(rows.c[key]).limit(BATCH)
    change = sa.update(rows).where(where).values(values)
    begin: list[sa.ColumnElement[bool]] = []
    with _outside_transaction() as is_postgresql:
        if is_postgresql:  # without current statistics, it would plan for a small table
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
    """Commit the migration's transaction and run in autocommit; yield whether that is so (only on PostgreSQL)."""
    if op.get_bind().dialect.name != "postgresql":
        yield False  # SQLite has a single lock, and updates 100,000 rows in a second
        return
    with op.get_context().autocommit_block():
        op.get_bind().execute(sa.text("SET statement_timeout = 0"))
        op.get_bind().execute(sa.text("SET lock_timeout = 0"))  # these statements don't block others while they wait
        try:
            yield True
        finally:
            op.get_bind().execute(sa.text("RESET statement_timeout"))
            op.get_bind().execute(sa.text("RESET lock_timeout"))
