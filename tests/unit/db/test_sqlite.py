"""SQLite's single write lock: readers never wait, writers no longer than the deadline."""

from __future__ import annotations

import sqlite3
import time

import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm import Session

from app.db import unavailable
from tests.unit.db.conftest import READ, TRY, count_one, in_thread

pytestmark = [pytest.mark.one_database, pytest.mark.usefixtures("engine")]

AUTOCOMMIT = {"autocommit": True}


@pytest.fixture
def database(databases):
    """A database in SQLite, whichever kind this run is about."""
    return databases.shared("sqlite")


@pytest.fixture
def locker(database):
    """A connection of another process, to lock the database with."""
    connection = sqlite3.connect(
        database.url.removeprefix("sqlite:///"), isolation_level=None, timeout=0, check_same_thread=False
    )
    yield connection
    connection.close()


def test_reads_continue_while_another_process_holds_the_lock(session, locker):
    session.scalar(READ)
    locker.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    assert session.scalar(READ) == 0
    assert time.monotonic() - began < 0.5


def test_reads_do_not_block_writers(session, locker):
    session.scalar(READ)
    locker.execute("BEGIN EXCLUSIVE")
    locker.execute("UPDATE trial SET tries = 3")
    locker.execute("COMMIT")
    assert session.scalar(READ) == 3


@pytest.mark.parametrize("options", [{}, AUTOCOMMIT])
def test_write_waits_for_the_lock_then_reports_unavailable(make_engine, locker, options):
    engine = make_engine(timeout=0.3)
    locker.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with Session(engine) as session, pytest.raises(exc.OperationalError) as locked:
        session.execute(TRY, execution_options=options)
    assert unavailable(locked.value)
    assert 0.25 < time.monotonic() - began < 2
    locker.execute("ROLLBACK")
    count_one(engine)


def test_wait_for_a_writer_of_this_process_ends_at_the_timeout(make_engine):
    engine = make_engine(timeout=0.3)
    with Session(engine) as holder, Session(engine) as waiter:
        holder.execute(TRY)
        began = time.monotonic()
        with pytest.raises(exc.TimeoutError) as waited:
            waiter.execute(TRY)
        assert unavailable(waited.value)
        assert 0.25 < time.monotonic() - began < 2


def test_connections_use_wal_full_synchronous_and_foreign_keys(session):
    found = {
        name: session.scalar(sa.text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_queued_writers_both_time_out_within_the_deadline(make_engine, locker):
    engine = make_engine(timeout=1)
    locker.execute("BEGIN IMMEDIATE")
    took = []

    def write() -> None:
        began = time.monotonic()
        with Session(engine) as session, pytest.raises((exc.OperationalError, exc.TimeoutError)):
            session.execute(TRY)
        took.append(time.monotonic() - began)

    first, second = in_thread(write), in_thread(lambda: (time.sleep(0.3), write()))
    first.join(5)
    second.join(5)
    assert max(took) < 1.5
    locker.execute("ROLLBACK")
    count_one(engine)


def test_only_a_few_writers_wait_behind_a_stuck_one(make_engine, locker):
    engine = make_engine(timeout=3, pool_size=8)
    locker.execute("BEGIN IMMEDIATE")
    told_early = []

    def write() -> None:
        began = time.monotonic()
        with Session(engine) as session:
            try:
                session.execute(TRY)
                session.commit()
            except exc.TimeoutError:
                told_early.append(time.monotonic() - began)

    threads = [in_thread(write) for _ in range(6)]
    time.sleep(2)
    locker.execute("ROLLBACK")
    for thread in threads:
        thread.join(5)
    assert len(told_early) == 3
    assert max(told_early) < 1.8
    with Session(engine) as session:
        assert session.scalar(READ) == 3


@pytest.mark.parametrize("options", [{}, AUTOCOMMIT])
def test_released_lock_of_another_process_is_acquired_quickly(make_engine, locker, options):
    engine, late = make_engine(timeout=3), []
    for _ in range(5):
        locker.execute("BEGIN IMMEDIATE")
        freed = []
        holder = in_thread(lambda freed=freed: (time.sleep(0.19), freed.append(time.monotonic()), locker.rollback()))
        with Session(engine) as session:
            session.execute(TRY, execution_options=options)
            late.append(time.monotonic() - freed[0])
            session.commit()
        holder.join(5)
    assert min(late) < 0.02, "SQLite's own handler would look again after 38 ms"


def test_statement_that_waited_for_the_lock_runs_once(make_engine, locker):
    engine = make_engine(timeout=3)
    locker.execute("BEGIN IMMEDIATE")
    holder = in_thread(lambda: (time.sleep(0.1), locker.rollback()))
    count_one(engine)
    holder.join(5)
    count_one(engine)
    with Session(engine) as session:
        assert session.scalar(READ) == 2
