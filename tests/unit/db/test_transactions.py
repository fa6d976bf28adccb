"""One BEGIN before the first write, none for reads, and a lock that is always given back."""

from __future__ import annotations

import threading
import time

import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm import Session

from app import clock
from app.db import UtcDateTime
from tests.unit.db.conftest import READ, TRY, count_one, in_thread

pytestmark = pytest.mark.both_databases

AUTOCOMMIT = {"autocommit": True}


def test_a_write_is_there_for_others_after_the_commit_only(session, tries):
    session.execute(TRY)
    assert tries() == 0
    session.commit()
    assert tries() == 1


def test_a_rollback_keeps_nothing(session, tries):
    session.execute(TRY)
    session.rollback()
    assert tries() == 0
    session.execute(TRY)
    session.commit()
    assert tries() == 1


def test_closing_without_a_commit_keeps_nothing(engine, tries):
    with Session(engine) as session:
        session.execute(TRY)
    assert tries() == 0


def test_a_session_sees_what_it_wrote(session):
    session.execute(TRY)
    assert session.scalar(READ) == 1


def test_reading_opens_no_transaction(session, tries, database):
    session.scalar(READ)
    database._connection.execute("UPDATE trial SET tries = 7")
    assert session.scalar(READ) == 7, "the next read is not of an old snapshot"


def test_what_is_said_at_once_is_there_at_once(session, tries):
    assert session.execute(TRY, execution_options=AUTOCOMMIT).scalar_one() == 1
    assert tries() == 1
    session.rollback()
    assert tries() == 1, "nothing afterwards undoes it"


def test_what_is_said_at_once_comes_before_any_write(session, tries):
    session.execute(TRY)
    with pytest.raises(RuntimeError, match="at once"):
        session.execute(TRY, execution_options=AUTOCOMMIT)
    session.rollback()
    assert tries() == 0


def test_a_write_after_what_was_said_at_once_is_a_transaction(session, tries):
    session.execute(TRY, execution_options=AUTOCOMMIT).all()
    session.execute(TRY)
    assert tries() == 1
    session.commit()
    assert tries() == 2


def test_a_savepoint_that_fails_leaves_the_rest(session, tries):
    session.execute(TRY)
    with pytest.raises(exc.IntegrityError), session.begin_nested():
        session.execute(sa.text("UPDATE trial SET tries = 100"))
    session.commit()
    assert tries() == 1


def test_counting_at_once_is_exact_under_parallel_guesses(engine, tries):
    counted = []
    ready = threading.Barrier(4)

    def guess() -> None:
        ready.wait()
        for _ in range(10):
            with Session(engine) as session:
                five = sa.text("UPDATE trial SET tries = tries + 1 WHERE tries < 5 RETURNING tries")
                counted.extend(session.execute(five, execution_options=AUTOCOMMIT).all())

    for thread in [in_thread(guess) for _ in range(4)]:
        thread.join(20)
    assert sorted(value for (value,) in counted) == [1, 2, 3, 4, 5]
    assert tries() == 5


def test_writers_wait_for_one_another(engine, tries):
    def write() -> None:
        for _ in range(10):
            with Session(engine) as session:
                session.execute(TRY)
                session.commit()

    for thread in [in_thread(write) for _ in range(4)]:
        thread.join(20)
    assert tries() == 40


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trial SET tries = 1 / 0 + 200",
        "UPDATE nothing SET a = 1",
        "UPDATE trial SET",
        "INSERT INTO trial VALUES (NULL)",
    ],
)
@pytest.mark.parametrize("options", [{}, AUTOCOMMIT])
def test_a_write_that_fails_gives_the_lock_back(engine, tries, statement, options):
    with Session(engine) as session, pytest.raises(exc.DBAPIError):
        session.execute(sa.text(statement), execution_options=options)
    began = time.monotonic()
    other = in_thread(lambda: count_one(engine))
    other.join(5)
    assert tries() == 1
    assert time.monotonic() - began < 2


def test_a_session_left_open_gives_the_lock_back_when_it_is_collected(engine, tries):
    session = Session(engine)
    session.execute(TRY)
    session.close()
    count_one(engine)
    assert tries() == 1


def test_times_come_back_in_utc(session):
    moment = clock.now()
    kept = session.scalar(sa.select(sa.literal(moment, UtcDateTime())))
    assert kept == moment
    assert kept.tzinfo is not None


def test_a_time_without_a_zone_is_refused(session):
    with pytest.raises(exc.StatementError, match="naive"):
        session.scalar(sa.select(sa.literal(clock.now().replace(tzinfo=None), UtcDateTime())))
