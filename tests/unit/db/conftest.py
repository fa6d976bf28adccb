"""A separate table on a separate engine, created as the application does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import attach, engine_options, engine_url
from tests.databases import Database

TRY = sa.text("UPDATE trial SET tries = tries + 1 RETURNING tries")
READ = sa.text("SELECT tries FROM trial")


@pytest.fixture
def make_engine(database: Database) -> Iterator[Callable[..., sa.Engine]]:
    """Creates engines on this test's database: ``make_engine(timeout=1)``. Their connections are closed afterwards."""
    made = []

    def make(timeout: float = 5, pool_size: int = 4, more: str = "") -> sa.Engine:
        url = database.url + more
        made.append(sa.create_engine(engine_url(url), **engine_options(url, timeout=timeout, pool_size=pool_size)))
        attach(made[-1], timeout=timeout)
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def engine(make_engine: Callable[..., sa.Engine], database: Database) -> Iterator[sa.Engine]:
    """An engine, and the table ``trial`` with one row in which nothing was tried yet."""
    database._connection.execute("CREATE TABLE trial (tries INTEGER NOT NULL CHECK (tries < 100))")
    database._connection.execute("INSERT INTO trial VALUES (0)")
    yield make_engine()
    database.disconnect()
    database._connection.execute("DROP TABLE trial")
    database.disconnect()
    database.__dict__.pop("_tables", None)


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    """A session of that engine."""
    with Session(engine) as session:
        yield session


@pytest.fixture
def tries(database: Database) -> Callable[[], int]:
    """Returns the stored value, through a separate connection."""
    return lambda: database.query("SELECT tries FROM trial")[0][0]


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    """Start ``work`` in a thread that a hanging test does not wait for."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def count_one(engine: sa.Engine) -> None:
    """Count one try and commit it."""
    with Session(engine) as session:
        session.execute(TRY)
        session.commit()


@pytest.fixture
def bare(databases, database):
    """A database of this test's kind with nothing in it."""
    made = databases.fresh(database.kind, migrated=False)
    yield made
    made.disconnect()


@pytest.fixture
def bare_app(make_app, bare):
    """The application on that database."""
    return make_app(database_url=bare.url)
