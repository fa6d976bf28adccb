"""A PostgreSQL that became read-only counts as unavailable, and its connections are dropped."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm import Session

from app.audit import Event
from app.db import DatabaseReadOnly, refuse_unless_writable, unavailable
from app.db.compiled import CompiledStatement
from app.db.faults import is_connection_lost
from app.extensions import db
from tests.unit.db.conftest import READ, TRY

PID = sa.text("SELECT pg_backend_pid()")
TURN = sa.text("SET default_transaction_read_only = on")
"""For one connection what a demoted primary is to all of them."""

pytestmark = pytest.mark.one_database


@pytest.fixture
def database(databases):
    """A database in PostgreSQL, whichever kind this run is about: SQLite has no primary."""
    database = databases.shared("postgresql")
    database.empty()
    return database


@pytest.fixture
def read_only(database):
    """Have the database refuse writes to new connections until the block ends."""
    name = database.query("SELECT current_database()")[0][0]
    database._connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    yield
    database._connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')


def test_rejected_write_discards_the_pool(engine, tries):
    with engine.connect() as one, engine.connect() as two:
        pids = {one.scalar(PID), two.scalar(PID)}
    with Session(engine) as session:
        session.execute(TURN)
        with pytest.raises(exc.DBAPIError) as refused:
            session.execute(TRY)
        assert unavailable(refused.value)
    with engine.connect() as one, engine.connect() as two:
        assert not pids & {one.scalar(PID), two.scalar(PID)}
    assert tries() == 0


def test_read_only_connection_is_replaced_before_use(engine, tries):
    with Session(engine) as session:
        session.execute(TURN)
        assert session.scalar(READ) == 0
    with Session(engine) as session:
        session.execute(TRY)
        session.commit()
    assert tries() == 1


def test_new_connection_to_a_read_only_database_is_rejected(read_only, make_engine):
    with Session(make_engine()) as session, pytest.raises(DatabaseReadOnly) as refused:
        session.scalar(sa.text("SELECT 1"))
    assert unavailable(refused.value)


def test_readiness_check_detects_a_read_only_session(engine):
    with engine.connect() as connection:
        refuse_unless_writable(connection)
        connection.execute(TURN)
        with pytest.raises(DatabaseReadOnly):
            refuse_unless_writable(connection)
        assert connection.invalidated


def test_compiled_statement_reports_a_read_only_database(app):
    with app.app_context():
        db.session.connection().exec_driver_sql("SET default_transaction_read_only = on")
        with pytest.raises(exc.DBAPIError) as refused:
            CompiledStatement(sa.update(Event.__table__).values(name="new"), autocommit=True).run()
        assert unavailable(refused.value)
        db.session.rollback()
        db.session.connection()
        assert CompiledStatement(sa.update(Event.__table__).values(name="new"), autocommit=True).run() == 0


@pytest.mark.parametrize("state", ["25006", "57P01", "57P02", "57P03", "57P05", "08006", "08P01", "25P03"])
def test_sqlstates_that_mean_a_lost_connection(state):
    assert is_connection_lost(psycopg.errors.lookup(state)("no more"))


@pytest.mark.parametrize("state", ["57014", "55P03", "40P01", "23505", "53100", "42P01"])
def test_sqlstates_that_keep_the_connection(state):
    assert not is_connection_lost(psycopg.errors.lookup(state)("this statement alone"))
