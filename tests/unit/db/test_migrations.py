"""Models match the migrations, and a migration can be upgraded, downgraded and upgraded again."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

pytestmark = [
    pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index"),
    pytest.mark.both_databases,
]
"""SQLAlchemy does not read such an index back from SQLite, so it is compared on PostgreSQL alone."""


def differences(app) -> list:
    """Return what only the models or only the schema has."""
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
    """Run ``flask db`` with ``words``."""
    done = app.test_cli_runner().invoke(args=["db", *words])
    assert done.exit_code == 0, done.output


def test_models_match_the_migrated_schema(app):
    assert differences(app) == []


def test_migrations_upgrade_downgrade_and_upgrade_again(bare_app):
    run(bare_app, "upgrade")
    first = tables(bare_app)
    assert first >= {"user", "identity", "enrolled_method", "challenge", "auth_session", "message", "event"}
    run(bare_app, "downgrade", "base")
    assert tables(bare_app) == set()
    run(bare_app, "upgrade")
    assert tables(bare_app) == first
    assert differences(bare_app) == []


@pytest.mark.one_database
def test_migrations_are_found_from_any_directory(bare_app, tmp_path, monkeypatch):
    from app.db import readiness
    from app.extensions import db

    monkeypatch.chdir(tmp_path)
    run(bare_app, "upgrade")
    with bare_app.app_context(), db.engine.connect() as connection:
        assert not readiness.schema_state(connection).fault


def test_upgrade_is_idempotent(bare_app):
    run(bare_app, "upgrade")
    first = tables(bare_app)
    run(bare_app, "upgrade")
    assert tables(bare_app) == first


def test_deleting_a_user_deletes_identities_and_enrollments(app, people, rows, database):
    from app.enrollments.models import Enrollment
    from app.users import Identity

    ada = people.open(email="ada@example.com", methods=["email", "authenticator"])
    if database.kind == "sqlite":
        database._connection.execute("PRAGMA foreign_keys = ON")
    else:
        database._connection.execute("SET session_replication_role = origin")
    database._connection.execute(f'DELETE FROM "user" WHERE id = {ada.id}')
    database.disconnect()
    assert (rows(Identity), rows(Enrollment)) == ([], [])


@pytest.fixture
def about_ada(program, people, rows):
    """Rows about Ada in tables whose ``user_id`` may be NULL."""
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"])
    program.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    program.post("/us-signin", identity=ada.email, passcode="00000000")
    for row in [row for model in may_name_nobody() for row in rows(model)]:
        assert row.user_id == ada.id
    return ada


def may_name_nobody() -> list:
    """Return the models whose ``user_id`` may be NULL."""
    from app.audit import Event
    from app.challenges.models import Challenge
    from app.outbox import Message
    from app.throttling.models import FailureCounter

    return [Challenge, FailureCounter, Message, Event]


def test_deleting_a_user_deletes_or_anonymizes_rows_with_an_optional_user(about_ada, rows, database):
    if database.kind == "postgresql":
        database._connection.execute("SET session_replication_role = origin")
    database._connection.execute(f'DELETE FROM "user" WHERE id = {about_ada.id}')
    database.disconnect()
    challenges, standings, messages, events = ([row.user_id for row in rows(model)] for model in may_name_nobody())
    assert (challenges, standings, messages) == ([], [], [None])
    assert set(events) == {None}


def test_deleting_an_enrollment_deletes_its_challenges(about_ada, rows, database):
    if database.kind == "postgresql":
        database._connection.execute("SET session_replication_role = origin")
    database._connection.execute("DELETE FROM enrolled_method WHERE method = 'authenticator'")
    assert len(rows(may_name_nobody()[0])) == 1
    database._connection.execute("DELETE FROM enrolled_method WHERE method = 'email'")
    database.disconnect()
    assert rows(may_name_nobody()[0]) == []


def test_autoincrement_migration_keeps_users_and_their_identities(bare_app, bare):
    run(bare_app, "upgrade", BEFORE_COUNTING)
    bare.query(OPENED)
    bare.query("INSERT INTO identity (user_id, kind, value, created_at) VALUES (7, 'email', 'a@b.cd', now) RETURNING id"
               .replace("now", "'2026-01-01 00:00:00'"))  # fmt: skip
    bare.disconnect()
    run(bare_app, "upgrade")
    assert bare.query('SELECT id FROM "user"') == [(7,)]
    assert [row[0] for row in bare.query("SELECT user_id FROM identity")] == [7]
    bare.disconnect()
    run(bare_app, "downgrade", BEFORE_COUNTING)
    assert [row[0] for row in bare.query("SELECT user_id FROM identity")] == [7]


BEFORE_COUNTING = "0024"
OPENED = """INSERT INTO "user" (id, handle, language, created_at) VALUES (7, 'x', 'en', '2026-01-01 00:00:00')
RETURNING id"""


def test_downgrade_below_passkeys_removes_their_enrollments(bare_app, bare):
    run(bare_app, "upgrade", "0018")
    bare.query(OPENED)
    columns = "(id, user_id, method, secret, name, last_step, created_at)"
    for method in ("email", "webauthn"):
        stored = f"('{method}', 7, '{method}', '', '', 0, '2026-01-01 00:00:00')"
        bare.query(f"INSERT INTO enrolled_method {columns} VALUES {stored} RETURNING id")
    bare.disconnect()
    run(bare_app, "downgrade", "0017")
    assert bare.query("SELECT method FROM enrolled_method") == [("email",)]


def test_migration_fills_the_destination_of_pending_messages(bare_app, bare):
    run(bare_app, "upgrade", "0030")
    row = "'{}', 'sign_in', '{}', '{}', '{{}}', 'en', '', false, '{}', 0, {}, '', '2026-01-01 00:00:00'"
    columns = 'id, kind, channel, "to", facts, language, tag, decoy, state, attempts, next_attempt_at, last_error'
    rows = [
        ("a", "mail", "ada@example.com", "waiting", "'2026-01-01'"),
        ("b", "sms", "+1201", "waiting", "'2026-01-01'"),
    ]
    rows.append(("c", "mail", "bob@example.com", "sent", "NULL"))
    values = ", ".join(f"({row.format(*each)})" for each in rows)
    bare.query(f"INSERT INTO message ({columns}, created_at) VALUES {values} RETURNING id")
    bare.disconnect()
    run(bare_app, "upgrade")
    found = bare.query("SELECT id, destination FROM message ORDER BY id")
    assert found == [("a", "example.com"), ("b", "sms"), ("c", "")]


def test_migration_keeps_failure_counts(bare_app, bare):
    run(bare_app, "upgrade", "0040")
    times = [int((time.time() - ago) * 1000) for ago in (60, 600, 5000, 90_000)]
    packed = "".join(f"{each:013d}abcdef," for each in times)
    columns = "id, browser, failures, in_a_row, touched_at, agent"
    for name, failures in (("a", packed), ("b", "")):
        bare.query(
            f"INSERT INTO standing ({columns}) VALUES ('{name}', '', '{failures}', 4, '2026-01-01', '') RETURNING id"
        )
    bare.disconnect()
    run(bare_app, "upgrade")
    found = bare.query("SELECT id, hour_count, day_count, failed_at IS NULL FROM standing ORDER BY id")
    assert [(name, hour, day, bool(none)) for name, hour, day, none in found] == [("a", 2, 3, False), ("b", 0, 0, True)]
