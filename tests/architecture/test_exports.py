"""What is kept about somebody is theirs: each table that says whose its rows are is exported, or says why not."""

from __future__ import annotations

import pytest

from app.db.export import EXCLUDED, EXPORT_PARTS

SECRET = ("secret", "digest", "sealed", "token", "binding", "family", "subject")
"""What a column that is given must not be called."""

pytestmark = pytest.mark.one_database


def owned(app) -> set[str]:
    """Return the names of all tables with a ``user_id``, and that of the users themselves."""
    from app.extensions import db

    return {table.name for table in db.metadata.tables.values() if "user_id" in table.c} | {"user"}


def test_every_table_with_somebodys_rows_is_exported_or_left_out_with_a_reason(app):
    given = {part.table for part in EXPORT_PARTS.values()}
    assert owned(app) - given - set(EXCLUDED) == set(), "give() it in the room's giving.py, or leave_out() it"
    assert given & set(EXCLUDED) == set()
    assert [table for table, reason in EXCLUDED.items() if len(reason) < 20] == []


def test_nothing_is_given_from_a_table_without_an_owner(app):
    assert {part.table for part in EXPORT_PARTS.values()} | set(EXCLUDED) <= owned(app)


def test_no_column_of_a_secret_is_given(app):
    columns = [
        f"{part.name}.{column}" for part in EXPORT_PARTS.values() for column in map(source_of, part.columns.values())
    ]
    assert [name for name in columns if any(word in name for word in SECRET)] == []


def source_of(column) -> str:
    """Return the name of the column in its table; "" for an expression."""
    return str(getattr(getattr(column, "expression", column), "name", ""))


def test_every_part_says_what_it_is(app):
    assert [part.name for part in EXPORT_PARTS.values() if not part.says.endswith(".")] == []
