"""One BEGIN before the first write, none for reads, and the lock is always released."""

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


def test_write_is_visible_to_others_only_after_commit(session, tries):
    session.execute(TRY)
    assert tries() == 0
    session.commit()
    assert tries() == 1


def test_rollback_discards_writes(session, tries):
    session.execute(TRY)
    session.rollback()
    assert tries() == 0
    session.execute(TRY)
    session.commit()
    assert tries() == 1


def test_closing_without_commit_discards_writes(engine, tries):
    with Session(engine) as session:
        session.execute(TRY)
    assert tries() == 0


def test_session_sees_its_own_uncommitted_write(session):
    session.execute(TRY)
    assert session.scalar(READ) == 1


def test_read_opens_no_transaction(session, tries, database):
    session.scalar(READ)
    database._connection.execute("UPDATE trial SET tries = 7")
    assert session.scalar(READ) == 7, "the next read is not of an old snapshot"


def test_autocommit_write_is_visible_immediately(session, tries):
    assert session.execute(TRY, execution_options=AUTOCOMMIT).scalar_one() == 1
    assert tries() == 1
    session.rollback()
    assert tries() == 1, "nothing afterwards undoes it"


def test_autocommit_after_a_write_is_rejected(session, tries):
    session.execute(TRY)
    with pytest.raises(RuntimeError, match="at once"):
        session.execute(TRY, execution_options=AUTOCOMMIT)
    session.rollback()
    assert tries() == 0


def test_write_after_an_autocommit_starts_a_transaction(session, tries):
    session.execute(TRY, execution_options=AUTOCOMMIT).all()
    session.execute(TRY)
    assert tries() == 1
    session.commit()
    assert tries() == 2


def test_failed_savepoint_keeps_the_outer_transaction(session, tries):
    session.execute(TRY)
    with pytest.raises(exc.IntegrityError), session.begin_nested():
        session.execute(sa.text("UPDATE trial SET tries = 100"))
    session.commit()
    assert tries() == 1


def test_autocommit_counter_is_exact_under_concurrency(engine, tries):
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


def test_concurrent_writers_are_serialized(engine, tries):
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
def test_failed_write_releases_the_lock(engine, tries, statement, options):
    with Session(engine) as session, pytest.raises(exc.DBAPIError):
        session.execute(sa.text(statement), execution_options=options)
    began = time.monotonic()
    other = in_thread(lambda: count_one(engine))
    other.join(5)
    assert tries() == 1
    assert time.monotonic() - began < 2


def test_closed_session_releases_the_lock(engine, tries):
    session = Session(engine)
    session.execute(TRY)
    session.close()
    count_one(engine)
    assert tries() == 1


def test_times_are_returned_in_utc(session):
    moment = clock.now()
    kept = session.scalar(sa.select(sa.literal(moment, UtcDateTime())))
    assert kept == moment
    assert kept.tzinfo is not None


def test_naive_time_is_rejected(session):
    with pytest.raises(exc.StatementError, match="naive"):
        session.scalar(sa.select(sa.literal(clock.now().replace(tzinfo=None), UtcDateTime())))
