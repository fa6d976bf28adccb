"""Run migrations on the database of the current app; ``flask db`` and ``flask serve`` come here.

On an engine of their own: the service gives a statement 5 s, and building an index may take minutes. Locks that would
keep the service waiting are waited for briefly, again and again.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
import structlog
from alembic import context
from flask import current_app

from app.db import UtcDateTime, readiness
from config.postgresql import parameters

log = structlog.get_logger()

LOCK = 0x1A7C4
"""Advisory lock by which two starting processes take turns."""

LOCK_WITHIN = 2
"""Seconds that a migration waits for a table. Whoever comes after it to that table waits as long."""

LOCK_AGAIN_AFTER = (1, 2, 4, 8, *[15] * 20)
"""Seconds between tries to lock a table: for five minutes the service's long transactions come first."""

LIMITS = {
    "statement_timeout": 0,
    "idle_in_transaction_session_timeout": 0,
    "lock_timeout": LOCK_WITHIN * 1000,
    "timezone": "'UTC'",
}


def render_item(kind: str, item: object, autogen: object) -> str | bool:
    """Write our column types as what the database keeps, so that a migration never imports the app."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def is_upgrade_of(found: readiness.SchemaState) -> bool:
    """Say whether this run was asked for the newest revision that this release knows."""
    try:
        return context.get_revision_argument() == found.head
    except KeyError:  # a command that only looks
        return False


def migrate(connection: sa.Connection) -> None:
    """Bring the schema of ``connection`` where it was asked to be, each migration in a transaction of its own."""
    found = readiness.schema_state(connection)
    connection.rollback()  # what was read began a transaction, which Alembic would take for the caller's
    if found.newer and is_upgrade_of(found):
        # As when a release is taken back, and its start-up runs flask db upgrade: there is nothing to do.
        log.warning("database.newer_than_release", revision=found.newer, known=found.head)
        return
    migrate_extension = current_app.extensions["migrate"]
    context.configure(
        connection=connection,
        target_metadata=migrate_extension.db.metadata,
        render_item=render_item,
        transaction_per_migration=True,
        **migrate_extension.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()


def is_locked(error: BaseException | None) -> bool:
    """Say whether an error of the driver means that others held a lock for too long."""
    return getattr(error, "sqlstate", "") == "55P03" or getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY"


def insist(run: Callable[[sa.Connection], None], connection: sa.Connection) -> None:
    """Migrate; when a table can't be locked soon, try again a little later from the migration that failed."""
    for wait in LOCK_AGAIN_AFTER:
        try:
            return run(connection)
        except sa.exc.OperationalError as error:
            if not is_locked(error.orig):
                raise
            connection.rollback()
            log.warning("migration.waiting_for_lock", again_after=wait)
            time.sleep(wait)
    return run(connection)


def engine_of_its_own(service: sa.Engine) -> sa.Engine:
    """Return an engine for migrations on the PostgreSQL database of ``service``."""
    url = current_app.extensions["latchkey.settings"].database_url
    connect = {
        "connect_timeout": 10,
        "target_session_attrs": "read-write",
        **parameters(url),
        "prepare_threshold": None,
    }
    engine = sa.create_engine(service.url, poolclass=sa.NullPool, connect_args=connect)

    @sa.event.listens_for(engine, "begin")
    def limit(connection: sa.Connection) -> None:
        connection.exec_driver_sql("; ".join(f"SET LOCAL {name} = {value}" for name, value in LIMITS.items()))

    return engine


@contextmanager
def one_at_a_time(engine: sa.Engine) -> Iterator[None]:
    """Wait until no other process migrates, and keep others waiting.

    By trying, and not by a statement that waits: building an index concurrently waits for every statement that runs,
    and so for one that waits for it to end. Without parameters: of a statement with some PostgreSQL keeps a snapshot for
    as long as the transaction lasts, and waits for that as well.
    """
    with engine.connect() as connection:
        said = False
        while not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({LOCK})").scalar():
            connection.rollback()
            if not said:
                log.info("migration.waiting_for_another")
            said = True
            time.sleep(0.5)
        yield


@contextmanager
def one_at_a_time_in(database: str | None) -> Iterator[None]:
    """The same for processes that share an SQLite file: its folder is locked, so that nothing is left behind.

    The first migration makes it: a new checkout has none, and SQLite makes the file alone.
    """
    if not database or database == ":memory:":
        yield
        return
    Path(database).parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(Path(database).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


service = current_app.extensions["migrate"].db.engine
if given := context.config.attributes.get("connection"):  # a database that is being made beside the service's
    migrate(given)
elif service.dialect.name == "postgresql":
    engine = engine_of_its_own(service)
    with one_at_a_time(engine), engine.connect() as connection:
        insist(migrate, connection)
else:
    with one_at_a_time_in(service.url.database), service.connect() as connection:
        insist(migrate, connection)
