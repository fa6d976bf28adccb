"""A statement handed to the driver as it is does what SQLAlchemy would have done with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from app.audit import Event
from app.challenges.models import Challenge
from app.db.compiled import CompiledStatement, detached_from, note
from app.extensions import db

EVENT = Event.__table__
INTO = CompiledStatement.into(EVENT)
AT_ONCE = CompiledStatement.into(EVENT, at_once=True)
NAMED = sa.select(EVENT).where(EVENT.c.name == sa.bindparam("name")).order_by(EVENT.c.id)
FIND = CompiledStatement(NAMED)
RENAME = CompiledStatement(
    sa.update(EVENT).where(EVENT.c.name == sa.bindparam("old")).values(name="new", facts={"n": 1})
)
MOMENT = datetime(2026, 11, 2, 6, 30, 0, 0, UTC)
ROW = {"at": MOMENT, "support_id": "", "request_id": "", "address": "", "agent": "", "facts": {"é": [1, None]}}


@pytest.fixture(autouse=True)
def context(app):
    with app.app_context():
        yield


def test_rows_come_as_sqlalchemy_gives_them():
    INTO.run(**ROW, name="one")
    assert [tuple(row) for row in FIND.all(name="one")] == [
        tuple(row) for row in db.session.execute(NAMED, {"name": "one"})
    ]
    assert MOMENT in FIND.first(name="one")


def test_a_value_that_is_not_given_is_null():
    INTO.run(**ROW, name="one")
    assert db.session.scalars(sa.select(Event)).one().user_id is None


def test_what_stands_in_the_statement_itself_is_converted_too():
    for name in ("old", "old", "other"):
        INTO.run(**ROW, name=name)
    assert RENAME.run(old="old") == 2
    assert [event.facts for event in db.session.scalars(sa.select(Event).where(Event.name == "new"))] == [{"n": 1}] * 2


def test_it_is_part_of_the_sessions_transaction(rows):
    INTO.run(**ROW, name="kept")
    db.session.commit()
    INTO.run(**ROW, name="dropped")
    db.session.rollback()
    assert [event.name for event in rows(Event)] == ["kept"]


def test_at_once_it_is_there_whatever_follows(rows):
    AT_ONCE.run(**ROW, name="kept")
    db.session.rollback()
    assert [event.name for event in rows(Event)] == ["kept"]


def test_at_once_comes_before_other_writes():
    INTO.run(**ROW, name="one")
    with pytest.raises(RuntimeError, match="at once"):
        AT_ONCE.run(**ROW, name="two")


def test_the_drivers_errors_come_as_sqlalchemys_and_leave_the_session_good():
    with pytest.raises(sa.exc.IntegrityError):
        INTO.run(**ROW, name=None)
    db.session.rollback()
    INTO.run(**ROW, name="one")
    assert FIND.first(name="one")


def test_an_object_without_state_shows_its_columns_and_takes_no_attribute():
    challenge = detached_from(Challenge, {"id": "a", "tries": 2})
    assert (challenge.id, challenge.tries, challenge.spent_at) == ("a", 2, None)
    with pytest.raises(AttributeError):
        challenge.tries = 3
    note(challenge, tries=3)
    assert challenge.tries == 3
