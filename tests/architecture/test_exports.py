"""Every table with a user's rows is exported, or excluded with a reason."""

from __future__ import annotations

import pytest

from app.db.export import Registered, registered_export

SECRET = ("secret", "digest", "sealed", "token", "binding", "family", "subject")
"""Words that no exported column's name may contain."""

pytestmark = pytest.mark.one_database


def owned(app) -> set[str]:
    """Return the names of all tables with a ``user_id``, and of the users table."""
    from app.extensions import db

    return {table.name for table in db.metadata.tables.values() if "user_id" in table.c} | {"user"}


@pytest.fixture
def exported(app) -> Registered:
    """The parts registered with the app."""
    with app.app_context():
        return registered_export()


def test_every_table_with_a_users_rows_is_exported_or_excluded_with_a_reason(app, exported):
    given = {part.table for part in exported.parts}
    assert owned(app) - given - set(exported.excluded) == set(), "name it in its package's export.py: PARTS or EXCLUDED"
    assert given & set(exported.excluded) == set()
    assert [table for table, reason in exported.excluded.items() if len(reason) < 20] == []


def test_only_tables_with_an_owner_are_exported(app, exported):
    assert {part.table for part in exported.parts} | set(exported.excluded) <= owned(app)


def test_secret_columns_are_not_exported(exported):
    columns = [f"{part.name}.{column}" for part in exported.parts for column in map(source_of, part.columns.values())]
    assert [name for name in columns if any(word in name for word in SECRET)] == []


def test_export_file_names_are_unique(exported):
    names = [part.name for part in exported.parts]
    assert len(names) == len(set(names))


def source_of(column) -> str:
    """Return the column's name in its table; "" for an expression."""
    return str(getattr(getattr(column, "expression", column), "name", ""))


def test_every_export_part_has_a_description(exported):
    assert [part.name for part in exported.parts if not part.says.endswith(".")] == []
