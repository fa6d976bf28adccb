"""One BEGIN before the first write, none for reads, and a lock that is always given back."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm import Session

from app.database import UtcDateTime, unavailable
from app.kit import clock
from tests.unit.database.conftest import READ, TRY, in_thread

AT_ONCE = {"at_once": True}


@pytest.fixture
def locker(database):
    """A connection of another process, to lock the database with; only SQLite has one lock for all."""
    if database.kind != "sqlite":
        pytest.skip("PostgreSQL locks rows") if False else None
    connection = sqlite3.connect(database.url.removeprefix("sqlite:///"), isolation_level=None, timeout=0)
    yield connection
    connection.close()


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
    assert session.execute(TRY, execution_options=AT_ONCE).scalar_one() == 1
    assert tries() == 1
    session.rollback()
    assert tries() == 1, "nothing afterwards undoes it"


def test_what_is_said_at_once_comes_before_any_write(session, tries):
    session.execute(TRY)
    with pytest.raises(RuntimeError, match="at once"):
        session.execute(TRY, execution_options=AT_ONCE)
    session.rollback()
    assert tries() == 0


def test_a_write_after_what_was_said_at_once_is_a_transaction(session, tries):
    session.execute(TRY, execution_options=AT_ONCE).all()
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
                counted.extend(session.execute(five, execution_options=AT_ONCE).all())

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
    ["UPDATE trial SET tries = 1 / 0 + 200", "UPDATE nothing SET a = 1", "UPDATE trial SET", "INSERT INTO trial VALUES (NULL)"],
)
@pytest.mark.parametrize("options", [{}, AT_ONCE])
def test_a_write_that_fails_gives_the_lock_back(engine, tries, statement, options):
    with Session(engine) as session, pytest.raises(exc.DBAPIError):
        session.execute(sa.text(statement), execution_options=options)
    began = time.monotonic()
    other = in_thread(lambda: _count(engine))
    other.join(5)
    assert tries() == 1
    assert time.monotonic() - began < 2


def test_a_session_left_open_gives_the_lock_back_when_it_is_collected(engine, tries):
    session = Session(engine)
    session.execute(TRY)
    session.close()
    _count(engine)
    assert tries() == 1


def _count(engine: sa.Engine) -> None:
    with Session(engine) as session:
        session.execute(TRY)
        session.commit()


def test_times_come_back_in_utc(session):
    moment = clock.now()
    kept = session.scalar(sa.select(sa.cast(sa.literal(moment, UtcDateTime()), UtcDateTime())) if False else
                          sa.select(sa.literal(moment, UtcDateTime())))  # fmt: skip
    assert kept == moment
    assert kept.tzinfo is not None


def test_a_time_without_a_zone_is_refused(session):
    with pytest.raises(exc.StatementError, match="naive"):
        session.scalar(sa.select(sa.literal(clock.now().replace(tzinfo=None), UtcDateTime())))


class TestSqlite:
    """What only SQLite's one lock for all brings."""

    @pytest.fixture(autouse=True)
    def _only_sqlite(self, database, engine):
        if database.kind == "postgresql":
            pytest.fail("these run on SQLite alone")

    @pytest.mark.one_database
    def test_reading_goes_on_while_another_process_holds_the_lock(self, session, locker):
        session.scalar(READ)
        locker.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        assert session.scalar(READ) == 0
        assert time.monotonic() - began < 0.5

    @pytest.mark.one_database
    def test_reading_holds_up_nobody(self, session, locker):
        session.scalar(READ)
        locker.execute("BEGIN EXCLUSIVE")
        locker.execute("UPDATE trial SET tries = 3")
        locker.execute("COMMIT")
        assert session.scalar(READ) == 3

    @pytest.mark.one_database
    @pytest.mark.parametrize("options", [{}, AT_ONCE])
    def test_writing_waits_and_then_says_it_is_unavailable(self, make_engine, locker, options):
        engine = make_engine(timeout=0.3)
        locker.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with Session(engine) as session, pytest.raises(exc.OperationalError) as locked:
            session.execute(TRY, execution_options=options)
        assert unavailable(locked.value)
        assert 0.25 < time.monotonic() - began < 2
        locker.execute("ROLLBACK")
        _count(engine)

    @pytest.mark.one_database
    def test_a_writer_of_this_process_is_waited_for_no_longer_than_the_deadline(self, make_engine):
        engine = make_engine(timeout=0.3)
        with Session(engine) as holder, Session(engine) as waiter:
            holder.execute(TRY)
            began = time.monotonic()
            with pytest.raises(exc.TimeoutError) as waited:
                waiter.execute(TRY)
            assert unavailable(waited.value)
            assert 0.25 < time.monotonic() - began < 2

    @pytest.mark.one_database
    def test_it_keeps_what_was_said_through_a_power_cut(self, session):
        found = {name: session.scalar(sa.text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")}
        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
