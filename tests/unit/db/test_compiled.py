"""A compiled statement passed to the driver has the same effect as through SQLAlchemy."""

from __future__ import annotations

import os
import select
import socket
from datetime import UTC, datetime
from itertools import count

import pytest
import sqlalchemy as sa

from app.audit import Event
from app.challenges.models import Challenge
from app.db import prepared, unavailable
from app.db.compiled import CompiledStatement, detached_from, update_detached
from app.extensions import db

pytestmark = pytest.mark.both_databases

EVENT = Event.__table__
INTO = CompiledStatement.into(EVENT)
AUTOCOMMIT = CompiledStatement.into(EVENT, autocommit=True)
NAMED = sa.select(EVENT).where(EVENT.c.name == sa.bindparam("name")).order_by(EVENT.c.id)
FIND = CompiledStatement(NAMED)
FIND_NONE = CompiledStatement(sa.select(EVENT).where(EVENT.c.id == -1))
RENAME = CompiledStatement(
    sa.update(EVENT).where(EVENT.c.name == sa.bindparam("old")).values(name="new", facts={"n": 1})
)
MOMENT = datetime(2026, 11, 2, 6, 30, 0, 0, UTC)
ROW = {"at": MOMENT, "support_id": "", "request_id": "", "address": "", "agent": "", "facts": {"é": [1, None]}}


@pytest.fixture(autouse=True)
def context(app):
    with app.app_context():
        yield


def test_rows_equal_those_of_sqlalchemy():
    INTO.run(**ROW, name="one")
    assert [tuple(row) for row in FIND.all(name="one")] == [
        tuple(row) for row in db.session.execute(NAMED, {"name": "one"})
    ]
    assert MOMENT in FIND.first(name="one")


def test_omitted_value_is_null():
    INTO.run(**ROW, name="one")
    assert db.session.scalars(sa.select(Event)).one().user_id is None


def test_literals_of_the_statement_are_converted():
    for name in ("old", "old", "other"):
        INTO.run(**ROW, name=name)
    assert RENAME.run(old="old") == 2
    assert [event.facts for event in db.session.scalars(sa.select(Event).where(Event.name == "new"))] == [{"n": 1}] * 2


def test_compiled_statement_joins_the_session_transaction(rows):
    INTO.run(**ROW, name="kept")
    db.session.commit()
    INTO.run(**ROW, name="dropped")
    db.session.rollback()
    assert [event.name for event in rows(Event)] == ["kept"]


def test_read_without_a_session_opens_none():
    INTO.run(**ROW, name="one")
    db.session.commit()
    db.session.remove()
    assert FIND.first_without_session(name="one") == FIND.first(name="one")
    db.session.remove()
    assert FIND.first_without_session(name="two") is None
    assert not db.session.registry.has()


def test_read_without_a_session_uses_the_one_that_is_open():
    INTO.run(**ROW, name="uncommitted")
    assert FIND.first_without_session(name="uncommitted") is not None


def test_autocommit_statement_survives_a_rollback(rows):
    AUTOCOMMIT.run(**ROW, name="kept")
    db.session.rollback()
    assert [event.name for event in rows(Event)] == ["kept"]


def test_autocommit_statement_after_a_write_is_rejected():
    INTO.run(**ROW, name="one")
    with pytest.raises(RuntimeError, match="at once"):
        AUTOCOMMIT.run(**ROW, name="two")


def test_driver_errors_are_wrapped_and_the_session_stays_usable():
    with pytest.raises(sa.exc.IntegrityError):
        INTO.run(**ROW, name=None)
    db.session.rollback()
    INTO.run(**ROW, name="one")
    assert FIND.first(name="one")


def test_detached_object_is_read_only():
    challenge = detached_from(Challenge, {"id": "a", "tries": 2})
    assert (challenge.id, challenge.tries, challenge.spent_at) == ("a", 2, None)
    with pytest.raises(AttributeError):
        challenge.tries = 3
    update_detached(challenge, tries=3)
    assert challenge.tries == 3


class TestPrepared:
    """On PostgreSQL a statement is prepared once for each connection."""

    pytestmark = pytest.mark.one_database

    @pytest.fixture
    def database(self, databases):
        database = databases.shared("postgresql")
        database.empty()
        return database

    @staticmethod
    def number_prepared(like: str) -> int:
        found = sa.text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE :like")
        return int(db.session.scalar(found, {"like": like}))

    def test_statement_is_prepared_once_and_survives_rollbacks(self):
        for _ in range(3):
            INTO.run(**ROW, name="dropped")
            db.session.rollback()
        assert FIND.all(name="dropped") == FIND.all(name="other") == []
        assert (self.number_prepared("INSERT INTO event%"), self.number_prepared("SELECT%event.name = $1%")) == (1, 1)

    def test_other_statements_are_not_prepared(self):
        for _ in range(20):
            db.session.execute(NAMED, {"name": "one"})
        theirs = "SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE 'latchkey%'"
        assert db.session.scalar(sa.text(theirs)) == 0

    @pytest.mark.parametrize("change", ["DEALLOCATE ALL", "DISCARD ALL"])
    def test_dropped_statements_are_prepared_again(self, change):
        INTO.run(**ROW, name="one")
        db.session.commit()
        held = db.session.connection().connection.driver_connection  # by the session: the pool may return another one
        assert FIND.first(name="one")
        held.execute(change)
        assert FIND.first(name="one")
        INTO.run(**ROW, name="two")
        assert FIND.first(name="two")

    def test_changed_result_type_is_handled_outside_a_transaction(self, database):
        assert FIND.first(name="one") is None
        database._connection.execute("ALTER TABLE event ALTER COLUMN request_id TYPE varchar(65)")
        try:
            assert FIND.first(name="one") is None
        finally:
            database._connection.execute("ALTER TABLE event ALTER COLUMN request_id TYPE varchar(64)")

    def test_statements_are_prepared_again_after_a_failure_in_a_transaction(self):
        assert FIND.first(name="one") is FIND_NONE.first() is None
        INTO.run(**ROW, name="one")
        db.session.connection().connection.driver_connection.execute("DEALLOCATE ALL")
        with pytest.raises(sa.exc.ProgrammingError):
            FIND.first(name="one")
        db.session.rollback()
        INTO.run(**ROW, name="one")
        assert FIND.first(name="one")
        assert FIND_NONE.first() is None

    @pytest.mark.parametrize(
        "run", [lambda: FIND.all(name="one"), lambda: db.session.execute(NAMED, {"name": "one"}).all()]
    )
    def test_failed_write_loses_the_connection(self, database, run):
        """If something was left to read, libpq reports it without a code, and its status is still good."""
        driver = db.session.connection().connection.driver_connection
        driver.execute("LISTEN something")
        driver.commit()
        database.query("SELECT pg_notify('something', '')")
        assert select.select([driver.fileno()], [], [], 10)[0]
        with socket.socket(fileno=os.dup(driver.fileno())) as same:
            same.shutdown(socket.SHUT_WR)
        with pytest.raises(sa.exc.DBAPIError) as raised:
            run()
        assert unavailable(raised.value)
        db.session.rollback()
        assert run() == []

    def test_prepared_statement_names_differ_for_different_statements(self, monkeypatch):
        """Both start counting at 1, and a pooler may switch their connections."""
        names = set()
        for statement in (FIND_NONE, FIND):
            monkeypatch.setattr(prepared, "_statement_numbers", count(1_000_000))
            db.session.connection().connection.driver_connection.execute("DISCARD ALL")
            statement.first(**({"name": "one"} if statement is FIND else {}))
            names.add(db.session.scalar(sa.text("SELECT name FROM pg_prepared_statements")))
        assert len(names) == 2

    def test_prepared_update_returns_its_own_row_count(self):
        INTO.run(**ROW, name="old")
        assert (RENAME.run(old="old"), RENAME.run(old="old")) == (1, 0)

    def test_terminated_connection_is_invalidated(self, database):
        pid = db.session.scalar(sa.text("SELECT pg_backend_pid()"))
        database._connection.execute(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(sa.exc.OperationalError) as ended:
            FIND.first(name="one")
        assert ended.value.connection_invalidated
        db.session.rollback()
        assert FIND.first(name="one") is None
