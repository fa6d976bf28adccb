"""Migrations of large tables while the service runs: none is interrupted, and none blocks the service."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from tests.databases import migrate
from tests.sinks import until

pytestmark = pytest.mark.both_databases

USERS, MORE = 60_000, 40_000
"""Accounts with one address, and how many of them have a second one."""

NUMBERS = {
    "postgresql": "SELECT generate_series(1, {count}) AS n",
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c",
}


@pytest.fixture
def upgrade(make_app, bare):
    """Runs ``flask db upgrade`` to a revision, with a statement timeout of 0.2 s for the service."""
    return upgrading(make_app, bare)


@pytest.fixture
def postgresql(databases):
    """An empty database on PostgreSQL: SQLite has one lock for all."""
    made = databases.fresh("postgresql", migrated=False)
    yield made
    made.disconnect()


@pytest.fixture
def upgrade_postgresql(make_app, postgresql):
    """The same on that database."""
    return upgrading(make_app, postgresql)


def upgrading(make_app, database):
    hurried = make_app(database_url=database.url, statement_timeout=0.2)

    def run(revision: str) -> None:
        database.disconnect()
        done = hurried.test_cli_runner().invoke(args=["db", "upgrade", revision])
        assert done.exit_code == 0, done.output + repr(done.exception)

    return run


@contextmanager
def locking(database, table, mode):
    """Hold a lock on ``table`` during the block, on a separate connection. Fails if that takes over 4 s."""
    with psycopg.connect(database.url) as connection:
        connection.execute("SET lock_timeout = '4s'")
        connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield


def waiting(database, mode):
    """Return whether a connection waits for a lock."""
    with psycopg.connect(database.url) as connection:
        return connection.execute(f"SELECT 1 FROM pg_locks WHERE NOT granted AND {mode}").fetchone()


@contextmanager
def under_way(upgrade, revision):
    """Upgrade in a thread during the block, and see to it that it succeeds."""
    failed: list[BaseException] = []

    def run():
        try:
            upgrade(revision)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()
    assert failed == []


def rows(bare, count, statement):
    numbers = NUMBERS[bare.kind].format(count=count)
    bare._connection.execute(f"{statement} FROM ({numbers}) AS numbers")


def test_primary_identity_migration_handles_a_hundred_thousand_users(bare, upgrade):
    upgrade("0015")
    now = "'2026-01-01 00:00:00'"
    rows(bare, USERS, f"INSERT INTO \"user\" (id, handle, language, created_at) SELECT n, 'h' || n, 'en', {now}")
    identity = "INSERT INTO identity (user_id, kind, value, created_at) SELECT n, 'email'"
    rows(bare, USERS, f"{identity}, 'a' || n, {now}")
    rows(bare, MORE, f"{identity}, 'b' || n, {now}")
    upgrade("0016")
    assert bare.query("SELECT is_primary, count(*) FROM identity GROUP BY 1 ORDER BY 1") == [(0, MORE), (1, USERS)]
    assert bare.query("SELECT count(*) FROM identity WHERE is_primary AND value LIKE 'b%'") == [(0,)]


def test_partially_applied_migration_can_be_run_again(bare, upgrade):
    upgrade("0015")
    bare._connection.execute("ALTER TABLE identity ADD COLUMN is_primary BOOLEAN DEFAULT true NOT NULL")
    upgrade("0016")
    bare._connection.execute("UPDATE alembic_version SET version_num = '0015'")
    upgrade("0016")
    assert bare.query("SELECT version_num FROM alembic_version") == [("0016",)]


WRITING, READING = "ROW EXCLUSIVE", "ACCESS SHARE"
"""What every statement that writes or reads takes."""

IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_challenge_binding_created_at'::regclass"


def test_index_migration_does_not_block_writes(postgresql, upgrade_postgresql):
    upgrade_postgresql("0006")
    with under_way(upgrade_postgresql, "0007"), locking(postgresql, "challenge", WRITING):
        until(lambda: waiting(postgresql, "locktype = 'virtualxid'"))  # for current writers to finish
        began = time.monotonic()
        with locking(postgresql, "challenge", WRITING):
            assert time.monotonic() - began < 1
    assert postgresql.query(IS_VALID) == [(True,)]


def test_invalid_index_is_rebuilt(postgresql, upgrade_postgresql):
    upgrade_postgresql("0006")
    postgresql._connection.execute("CREATE INDEX ix_challenge_binding_created_at ON challenge (binding, created_at)")
    postgresql._connection.execute("UPDATE pg_index SET indisvalid = false"
                                   " WHERE indexrelid = 'ix_challenge_binding_created_at'::regclass")  # fmt: skip
    upgrade_postgresql("0007")
    assert postgresql.query(IS_VALID) == [(True,)]


def test_table_lock_of_a_migration_is_retried_without_blocking_readers_for_long(postgresql, upgrade_postgresql):
    upgrade_postgresql("0016")
    with under_way(upgrade_postgresql, "0017"), locking(postgresql, "auth_session", READING):
        until(lambda: waiting(postgresql, "mode = 'AccessExclusiveLock'"))
        began = time.monotonic()
        with locking(postgresql, "auth_session", READING):  # queued behind the migration until that gives up
            assert time.monotonic() - began < 3.5
    assert postgresql.query("SELECT version_num FROM alembic_version") == [("0017",)]


def test_concurrent_upgrades_are_serialized(bare):
    bare.disconnect()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(migrate, [bare.url] * 2))
    assert len(bare.query("SELECT version_num FROM alembic_version")) == 1
