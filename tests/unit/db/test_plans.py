"""Query plans at the size of a large service: occasional queries scan no whole table, and plans stay good."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from app.account import activity
from app.authenticators.keys import keys_in_use, sealed_columns
from app.db import export
from app.extensions import db
from app.privacy.deletion import erase
from tests.plans import collected, reads_whole
from tests.sinks import code_in

pytestmark = pytest.mark.both_databases

MANY = 100_000
PAGES = 15
"""More than the five after which psycopg might prepare, and the five more after which PostgreSQL plans for no value."""

ON_THE_WAY = (
    *("user", "identity", "enrolled_method", "standing", "challenge", "event", "message", "auth_session"),
    "suppression",
)
"""Tables with a row for each user, sign-in or mail, which signing in reads."""

TRIGGERS = ("challenge", "standing", "message", "event")
"""Tables whose rows are looked for by ``user_id`` when an account is deleted."""

FILL = {
    "event": """
        INSERT INTO event (at, name, user_id, support_id, request_id, address, agent, facts)
        SELECT now() - n * interval '1 minute', 'sign_in.succeeded', CASE WHEN n % 2 = 0 THEN {ada} ELSE n END,
            '', '', '', '', '{{}}' FROM generate_series(1, {many}) AS n
    """,
    "message": """
        INSERT INTO message (id, kind, channel, "to", user_id, facts, language, tag, decoy, state, attempts, last_error,
            created_at)
        SELECT 'm' || n, 'code', 'email', '', NULLIF(n % 1000, 0), '{{}}', 'en', '', false, 'sent', 1, '',
            now() - n * interval '1 second' FROM generate_series(1, {many}) AS n
    """,
}


@pytest.fixture
def ada(people):
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


class TestPostgresql:
    """Only PostgreSQL plans for no values in particular."""

    pytestmark = pytest.mark.one_database

    @pytest.fixture
    def database(self, databases):
        database = databases.shared("postgresql")
        database.empty()
        return database

    @pytest.fixture
    def full(self, database, ada):
        for table, fill in FILL.items():
            database._connection.execute(fill.format(ada=ada.id, many=MANY))
            database._connection.execute(f"ANALYZE {table}")
        yield
        database.empty()
        for table in FILL:
            database._connection.execute(f"ANALYZE {table}")

    def test_export_and_activity_pages_are_not_prepared_statements(self, app, ada, full):
        with app.app_context():
            took = []
            for user_id in [ada.id, *range(500, 500 + PAGES)]:
                began = time.monotonic()
                for part in (part for part in export.registered_export().parts if part.name in ("events", "messages")):
                    pages = export.read(db.session, part, user_id)
                    for _ in range(PAGES):
                        next(pages, None)
                took.append(time.monotonic() - began)
            before = None
            for _ in range(PAGES):
                page, before = activity.events_of(ada.id, before)
                assert len(page) == activity.PAGE
            theirs = "SELECT statement FROM pg_prepared_statements WHERE name NOT LIKE 'latchkey%'"
            general = f"{theirs} AND statement ~ 'FROM (event|message)'"
            assert db.session.scalars(sa.text(general)).all() == []
            assert max(took[-5:]) < 2, took

    def test_sign_in_needs_no_full_scan_of_small_tables(self, app, wire, ada, mail_to):
        """A plan made for a small table is kept while the table grows."""
        plans = self.plans_of_a_sign_in(app, wire, ada, mail_to)
        for table in ON_THE_WAY:
            assert not [plan for plan in plans if reads_whole(plan, table)], table

    @pytest.mark.parametrize("analyzed", [False, True])
    def test_sign_in_uses_equality_index_conditions(self, app, database, wire, ada, mail_to, analyzed):
        """By a range of times it finds more rows with each sign-in."""
        if analyzed:
            database._connection.execute("ANALYZE")
        plans = self.plans_of_a_sign_in(app, wire, ada, mail_to)
        found_by = [line.strip() for plan in plans for line in plan.splitlines() if "Index Cond:" in line]
        assert len(found_by) > 10
        assert [line for line in found_by if " = " not in line] == []

    def test_sequential_scans_and_jit_are_disabled(self, app):
        """Before release 18 each statement that finds no index seems to cost enough for that."""
        with app.app_context():
            settings = "SELECT current_setting('enable_seqscan'), current_setting('jit')"
            assert db.session.execute(sa.text(settings)).one() == ("off", "off")

    def plans_of_a_sign_in(self, app, wire, ada, mail_to) -> list[str]:
        """Return the plans of what the requests of a sign-in ask, a wrong code included."""
        with collected(app, of_requests=True) as first:
            wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
        code = code_in(mail_to(ada.email))
        with collected(app, of_requests=True) as then:
            wire.post("/us-signin", identity=ada.email, passcode="00000000")
            assert wire.post("/us-signin", identity=ada.email, passcode=code).ok
        assert len(first) + len(then) > 10
        return first + then


def test_keys_in_use_query_uses_the_indexes(app, ada):
    with collected(app) as plans:
        assert keys_in_use() == {app.extensions["latchkey.keyring"].kid}
        sealed = len(sealed_columns())
    assert len(plans) == sealed
    for table, plan in zip(("enrolled_method", "challenge"), plans, strict=False):  # the others have few rows
        assert f"ix_{table}_key" in plan
        assert not reads_whole(plan, table)


def test_keys_in_use_covers_challenges_and_enrollments(app, ada, database):
    database._connection.execute("UPDATE enrolled_method SET secret = 'v1.0000000b.x' WHERE method = 'email'")
    database._connection.execute("UPDATE enrolled_method SET secret = 'v1.0000000a.x' WHERE method = 'authenticator'")
    with app.app_context():
        assert keys_in_use() == {"0000000a", "0000000b"}


def test_erasing_an_account_needs_no_full_table_scan(app, ada):
    with collected(app) as plans:
        erase(ada.id, -1)
        db.session.rollback()
    assert len(plans) > 4
    for table in db.metadata.tables:
        assert not [plan for plan in plans if reads_whole(plan, table)], table


def test_foreign_keys_and_trigger_columns_are_indexed(app):
    """Foreign keys and the triggers of ADR 15 look for rows by these columns; EXPLAIN does not show it."""
    by = [(table, column) for table in db.metadata.tables.values() for column in table.columns if column.foreign_keys]
    by += [(db.metadata.tables[name], db.metadata.tables[name].c.user_id) for name in TRIGGERS]
    for table, column in by:
        unique = [each for each in table.constraints if isinstance(each, sa.UniqueConstraint)]
        whole = [each for each in table.indexes if each.dialect_options["sqlite"].get("where") is None]
        keys = [list(each.columns) for each in (table.primary_key, *unique, *whole)]
        assert column in [columns[0] for columns in keys if columns], f"{table.name}.{column.name}"
