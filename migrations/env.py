"""Run migrations on the database of the current app, for ``flask db`` and ``flask serve``.

They use a separate engine: the service limits statements to 5 s, and building an index may take minutes. Waiting for a
lock blocks the service's statements behind it, so each attempt to get one is short and repeated.
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
"""Advisory lock that prevents two processes from migrating at the same time."""

LOCK_WITHIN = 2
"""Seconds that a migration waits for a table lock. Statements queued behind it wait as long."""

LOCK_AGAIN_AFTER = (1, 2, 4, 8, *[15] * 20)
"""Seconds between attempts to lock a table, so that the service's long transactions can finish: five minutes in all."""

LIMITS = {
    "statement_timeout": 0,
    "idle_in_transaction_session_timeout": 0,
    "lock_timeout": LOCK_WITHIN * 1000,
    "timezone": "'UTC'",
}


def render_item(kind: str, item: object, autogen: object) -> str | bool:
    """Render our column types as plain SQLAlchemy types, so that migrations don't import the app."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def is_upgrade_of(found: readiness.SchemaState) -> bool:
    """Return whether this run upgrades to the newest revision that this release knows."""
    try:
        return context.get_revision_argument() == found.head
    except KeyError:  # a command that changes nothing
        return False


def migrate(connection: sa.Connection) -> None:
    """Migrate the database of ``connection`` to the requested revision, each migration in its own transaction."""
    found = readiness.schema_state(connection)
    connection.rollback()  # reading began a transaction, which Alembic would take for the caller's
    if found.newer and is_upgrade_of(found):
        # For example after a rollback to this release, whose start runs flask db upgrade: there is nothing to do.
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
    """Return whether a driver's error means that a lock wasn't released in time."""
    return getattr(error, "sqlstate", "") == "55P03" or getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY"


def with_retries(run: Callable[[sa.Connection], None], connection: sa.Connection) -> None:
    """Call ``run``; if a table can't be locked, call it again later, which continues with the migration that failed."""
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


def migration_engine(service: sa.Engine) -> sa.Engine:
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
def exclusively(engine: sa.Engine) -> Iterator[None]:
    """Hold the advisory lock, once no other process has it.

    It polls instead of waiting in a statement: building an index concurrently waits for all running statements, and a
    statement that waits for the index builder would deadlock with it. The statement has no parameters: with parameters,
    PostgreSQL keeps a snapshot until the transaction ends, and the index builder waits for that as well.
    """
    with engine.connect() as connection:
        logged = False
        while not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({LOCK})").scalar():
            connection.rollback()
            if not logged:
                log.info("migration.waiting_for_another")
            logged = True
            time.sleep(0.5)
        yield


@contextmanager
def exclusively_on_sqlite(database: str | None) -> Iterator[None]:
    """Do the same for an SQLite file by locking its directory, so that no lock file is left behind.

    The first migration creates the directory: a new checkout has none, and SQLite creates only the file.
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
if given := context.config.attributes.get("connection"):  # another database, which a command is creating
    migrate(given)
elif service.dialect.name == "postgresql":
    engine = migration_engine(service)
    with exclusively(engine), engine.connect() as connection:
        with_retries(migrate, connection)
else:
    with exclusively_on_sqlite(service.url.database), service.connect() as connection:
        with_retries(migrate, connection)
