"""Models and migrations agree, and a migration goes up, down and up again."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext


@pytest.fixture
def bare(databases, database):
    """A database of this test's kind with nothing in it."""
    made = databases.fresh(database.kind, migrated=False)
    yield made
    made.disconnect()


@pytest.fixture
def bare_app(make_app, bare):
    """The application on that database."""
    return make_app(database_url=bare.url)


def differences(app) -> list:
    """Return what the models have and the schema has not, or the other way round."""
    from app.extensions import db

    with app.app_context(), db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, db.metadata)


def tables(app) -> set[str]:
    """Return the names of all tables but Alembic's own."""
    from app.extensions import db

    with app.app_context():
        return set(sa.inspect(db.engine).get_table_names()) - {"alembic_version"}


def run(app, *words: str) -> None:
    """Type ``flask db`` with ``words``."""
    done = app.test_cli_runner().invoke(args=["db", *words])
    assert done.exit_code == 0, done.output


def test_models_and_migrations_agree(app):
    assert differences(app) == []


def test_up_down_and_up_again(bare_app):
    run(bare_app, "upgrade")
    first = tables(bare_app)
    assert first >= {"user", "identity", "enrolled_method", "challenge", "auth_session", "message", "event"}
    run(bare_app, "downgrade", "base")
    assert tables(bare_app) == set()
    run(bare_app, "upgrade")
    assert tables(bare_app) == first
    assert differences(bare_app) == []


def test_upgrading_twice_changes_nothing(bare_app):
    run(bare_app, "upgrade")
    first = tables(bare_app)
    run(bare_app, "upgrade")
    assert tables(bare_app) == first


def test_deleting_a_user_leaves_no_row_of_theirs(app, people, rows, database):
    from app.methods import EnrolledMethod
    from app.users import Identity

    ada = people.open(email="ada@example.com", methods=["email", "authenticator"])
    if database.kind == "sqlite":
        database._connection.execute("PRAGMA foreign_keys = ON")
    else:
        database._connection.execute("SET session_replication_role = origin")
    database._connection.execute(f'DELETE FROM "user" WHERE id = {ada.id}')
    database.disconnect()
    assert (rows(Identity), rows(EnrolledMethod)) == ([], [])
