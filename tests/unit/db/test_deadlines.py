"""PostgreSQL slow, frozen or stopped: every statement ends with a database error, and the next one works."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm import Session

from app.db import DatabaseUnavailable, unavailable
from app.db.postgresql import MAX_STUCK, STUCK_AFTER, Watchdog
from tests.databases import Database
from tests.unit.db.conftest import READ, TRY, in_thread

PID = sa.text("SELECT pg_backend_pid()")


pytestmark = pytest.mark.one_database


@pytest.fixture
def database(databases):
    """A database in PostgreSQL, whichever kind this run is about: SQLite has no server that could be away."""
    return databases.shared("postgresql")


@contextmanager
def frozen(pid: int):
    """Freeze the server process ``pid``, as a machine that hangs would."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_slow_statement_is_cancelled_at_the_timeout(make_engine):
    engine = make_engine(timeout=0.5)
    began = time.monotonic()
    with Session(engine) as session, pytest.raises(exc.DBAPIError) as slow:
        session.execute(sa.text("SELECT pg_sleep(20)"))
    assert unavailable(slow.value)
    assert 0.4 < time.monotonic() - began < 2
    with Session(engine) as session:
        assert session.scalar(sa.text("SELECT 1")) == 1


@pytest.mark.parametrize("write", [False, True])
def test_statement_to_a_frozen_server_times_out(engine, make_engine, tries, write):
    engine = make_engine(timeout=1)
    with Session(engine) as session:
        pid = session.scalar(PID)
        began = time.monotonic()
        with frozen(pid), pytest.raises(exc.DBAPIError) as hung:
            session.execute(TRY if write else READ)
        assert unavailable(hung.value)
        assert time.monotonic() - began < 2.5
    with Session(engine) as session:
        assert session.scalar(PID) != pid
        session.execute(TRY)
        session.commit()
    assert tries() == 1


def test_commit_to_a_frozen_server_times_out(engine, make_engine, tries):
    engine = make_engine(timeout=1)
    with Session(engine) as session:
        session.execute(TRY)
        pid = session.scalar(PID)
        began = time.monotonic()
        with frozen(pid), pytest.raises(exc.DBAPIError) as hung:
            session.commit()
        assert unavailable(hung.value)
        assert time.monotonic() - began < 2.5
    with Session(engine) as session:
        assert session.scalar(sa.text("SELECT 1")) == 1


@pytest.mark.parametrize("first", [READ, TRY])
def test_connection_killed_while_pooled_is_replaced_transparently(engine, database, tries, first):
    with Session(engine) as session:
        pid = session.scalar(PID)
    with Session(engine) as session:
        assert session.scalar(PID) == pid, "the connection waits in the pool"
    _terminate(database, pid)
    with Session(engine) as session:
        session.execute(first)
        session.commit()
    assert tries() == (1 if first is TRY else 0)


def _terminate(database: Database, pid: int) -> None:
    """End the server process ``pid``, and wait until it is gone."""
    database.query(f"SELECT pg_terminate_backend({pid}, 2000)")


@pytest.mark.parametrize("first", [READ, TRY])
def test_connection_killed_during_a_session_is_reported_as_unavailable(engine, database, tries, first):
    with Session(engine) as session:
        _terminate(database, session.scalar(PID))
        with pytest.raises(exc.DBAPIError) as gone:
            session.execute(first)
        assert unavailable(gone.value)
        session.rollback()
        session.execute(TRY)
        session.commit()
    assert tries() == 1


def test_unreachable_server_is_reported_as_unavailable(tmp_path):
    from app.db import attach, engine_options, engine_url

    url = f"postgresql://nobody@/nothing?host={tmp_path}"
    engine = sa.create_engine(engine_url(url), **engine_options(url, timeout=1, pool_size=1))
    attach(engine, timeout=1)
    began = time.monotonic()
    with Session(engine) as session, pytest.raises(exc.OperationalError) as away:
        session.scalar(sa.text("SELECT 1"))
    assert unavailable(away.value)
    assert time.monotonic() - began < 2.5


def test_url_options_are_kept_beside_the_timeouts(make_engine):
    with make_engine(timeout=3, more="&options=-csearch_path=auth&application_name=ada").connect() as connection:
        shown = [connection.scalar(sa.text(f"SHOW {name}")) for name in ("search_path", "application_name")]
        assert shown == ["auth", "ada"]
        assert connection.scalar(sa.text("SHOW statement_timeout")) == "3s"


def test_reachable_host_is_chosen_from_several_hosts(database):
    from app.db import attach, engine_options, engine_url

    host = database.url.partition("host=")[2]
    url = database.url.replace(host, f"/nowhere,{host}")
    engine = sa.create_engine(engine_url(url), **engine_options(url, timeout=5, pool_size=1))
    attach(engine, timeout=5)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()


def test_exhausted_pool_is_reported_as_unavailable(make_engine):
    engine = make_engine(pool_size=1)
    held = [engine.connect() for _ in range(5)]
    began = time.monotonic()
    with pytest.raises(exc.TimeoutError) as full:
        engine.connect()
    assert unavailable(full.value)
    assert time.monotonic() - began < 3
    for connection in held:
        connection.close()


def test_request_is_rejected_at_once_with_eight_stuck_statements():
    watchdog = Watchdog(limit=60)
    for number in range(MAX_STUCK):
        watchdog.begin(number)
        watchdog._running[number] -= STUCK_AFTER + 1
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        watchdog.begin("ninth")
    assert time.monotonic() - began < 0.1
    watchdog.end(0)
    watchdog.begin("ninth")


def test_lock_wait_ends_at_the_timeout(engine, make_engine):
    engine = make_engine(timeout=0.5)
    with Session(engine) as holder, Session(engine) as waiter:
        holder.execute(TRY)
        began = time.monotonic()
        with pytest.raises(exc.OperationalError) as waited:
            waiter.execute(TRY)
        assert unavailable(waited.value)
        assert time.monotonic() - began < 2


def test_pool_is_complete_after_many_timeouts(engine, make_engine):
    engine = make_engine(timeout=0.3, pool_size=2)

    def fail() -> None:
        with Session(engine) as session, pytest.raises(exc.DBAPIError):
            session.execute(sa.text("SELECT pg_sleep(5)"))

    for thread in [in_thread(fail) for _ in range(6)]:
        thread.join(10)
    assert engine.pool.checkedout() == 0
    with Session(engine) as session:
        assert session.scalar(sa.text("SELECT 1")) == 1
