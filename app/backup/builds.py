"""Build a database next to the live one and replace the live one atomically.

SQLite: a new file, copied over the old one in a single SQLite transaction (with the backup API), so that processes that
have it open see either the old rows or the new ones. PostgreSQL: a separate schema, whose tables are swapped with the
old ones in one transaction. If anything fails before that, the old database is unchanged.
"""

from __future__ import annotations

import secrets
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from alembic import command

from app.backup import tables
from app.backup.databases import Database, Postgresql, Sqlite
from app.backup.faults import BackupError, readable_errors
from app.backup.tables import Table
from app.command_language import gettext
from app.db import migrations, read_only
from app.extensions import db, this_app

Content = Iterable[tuple[Table, Iterable[list[Any]]]]
"""Tables with their rows. The rows of one table are consumed before the next table is requested."""

Progress = Callable[[str, int], None]
"""Callback that receives the current step and the number of rows processed in it."""

NOTHING_CHANGED = "Nothing was changed"
LOCK = 0x1A7C5
"""PostgreSQL advisory lock that allows only one restore at a time."""

LOCK_TIMEOUT = "20s"
"""How long to wait for locks on the live tables when the build is ready to replace them."""


class Build(ABC):
    """A database under construction.

    :ivar database: where it is built
    :ivar target: the database it will replace
    """

    database: Database
    target: Database

    def migrate(self, revision: str) -> None:
        """Migrate its tables to this revision."""
        with self.database.engine.connect() as connection:
            config = migrations.bound_to(this_app()).get_config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    def load(self, content: Content, progress: Progress) -> None:
        """Fill its empty tables in one transaction.

        :raises BackupError: when a table is unknown or its columns differ
        """
        with self.loading() as (connection, here):
            for table, rows in content:
                self.require(table, here)
                self.database.write(connection, table, counted(rows, table.name, progress))

    @contextmanager
    def loading(self) -> Iterator[tuple[sa.Connection, dict[str, Table]]]:
        """Provide a connection in a transaction, and the existing tables."""
        with self.database.engine.connect() as connection:
            here = {table.name: table for table in tables.found_tables(connection)}
            connection.exec_driver_sql("BEGIN")
            with self.database.unconstrained(connection):
                yield connection, here
            connection.exec_driver_sql("COMMIT")

    @staticmethod
    def require(table: Table, here: dict[str, Table]) -> None:
        """Check that ``table`` is in ``here`` with the same columns.

        :raises BackupError: if it isn't
        """
        found = here.get(table.name)
        if found is None or dict(found.columns) != dict(table.columns):
            raise BackupError(
                f"Table {table.name} of the backup has other columns than this release makes. {NOTHING_CHANGED}. "
                "Restore it with the release that made it."
            )

    def verify(self, found: dict[str, Table], wanted: dict[str, dict[str, Any]], progress: Progress) -> None:
        """Read all tables, and compare row counts and digests.

        :param found: the tables, with columns in the order in which the digests include them
        :raises BackupError: when a table differs from ``wanted``
        """
        with self.database.snapshot() as connection:
            if isinstance(self.database, Sqlite) and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                raise BackupError(f"Rows refer to others that are missing. {NOTHING_CHANGED}. Use another backup.")
            for name, table in found.items():
                got, want = self.database.digest(connection, table), wanted[name]
                progress(f"verified {name}", got["rows"])
                if got != {key: want[key] for key in got}:
                    raise BackupError(
                        f"Table {name} has {got['rows']:,} rows after loading, {want['rows']:,} in the backup, or they "
                        f"differ. {NOTHING_CHANGED}."
                    )

    def advance_sequences(self, sequences: dict[str, int]) -> None:
        """Continue autoincrement columns after the last number that was assigned, by ``table.column``."""
        with self.database.engine.connect() as connection:
            for table in tables.found_tables(connection):
                if table.numbered:
                    self.database.advance_sequence(
                        connection, table, sequences.get(f"{table.name}.{table.numbered}", 0)
                    )

    @abstractmethod
    def replace_target(self) -> None:
        """Atomically replace the target with this database."""


class SqliteBuild(Build):
    """A new file next to the old one."""

    def __init__(self, target: Sqlite, path: Path) -> None:
        self.target, self.database = target, Sqlite(path)

    def replace_target(self) -> None:
        path = self.target.path  # type: ignore[attr-defined]
        existed = path.exists()
        source, goal = sqlite3.connect(self.database.path), sqlite3.connect(path, timeout=30)  # type: ignore[attr-defined]
        try:
            goal.execute("PRAGMA journal_mode=WAL")
            source.backup(goal)
        except sqlite3.Error:
            if not existed:
                path.unlink(missing_ok=True)
            raise
        finally:
            goal.close()
            source.close()


_FUNCTIONS = """
    SELECT proname, pg_get_function_identity_arguments(oid) FROM pg_proc WHERE pronamespace = %s::regnamespace
"""


class PostgresqlBuild(Build):
    """A schema next to the live one."""

    SCHEMA: ClassVar[str] = "latchkey_restore"

    def __init__(self, target: Postgresql) -> None:
        self.target, self.database = target, Postgresql(target.url, self.SCHEMA)

    def replace_target(self) -> None:
        assert isinstance(self.target, Postgresql)
        goal = self.target.schema
        ours = [*db.metadata.tables, "alembic_version", read_only.TABLE]
        with self.target.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            for name in ours:
                connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{goal}"."{name}" CASCADE')
            connection.exec_driver_sql(f'DROP FUNCTION IF EXISTS "{goal}"."{read_only.FUNCTION}"()')
            for name in sa.inspect(connection).get_table_names(self.SCHEMA):
                connection.exec_driver_sql(f'ALTER TABLE "{self.SCHEMA}"."{name}" SET SCHEMA "{goal}"')
            for name, arguments in connection.exec_driver_sql(_FUNCTIONS, (self.SCHEMA,)).all():  # trigger functions
                connection.exec_driver_sql(f'DROP FUNCTION IF EXISTS "{goal}"."{name}"({arguments}) CASCADE')
                connection.exec_driver_sql(f'ALTER FUNCTION "{self.SCHEMA}"."{name}"({arguments}) SET SCHEMA "{goal}"')
            connection.exec_driver_sql(f'DROP SCHEMA "{self.SCHEMA}" CASCADE')
            connection.exec_driver_sql("COMMIT")
            with suppress(sa.exc.SQLAlchemyError):  # gives the planner statistics for the filled tables
                connection.exec_driver_sql("ANALYZE")


@contextmanager
def build_for(target: Database) -> Iterator[Build]:
    """Provide a new, empty database that can replace ``target``. Leftovers are removed when the block ends.

    :raises BackupError: when the disk is full, or the database can't be created there
    """
    if isinstance(target, Sqlite):
        path = target.path.with_name(f".{target.path.name}.{secrets.token_hex(4)}.new")
        with readable_errors(target.path.parent, NOTHING_CHANGED):
            try:
                target.path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)
                yield SqliteBuild(target, path)
            finally:
                for each in (path, *[path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")]):
                    each.unlink(missing_ok=True)
        return
    assert isinstance(target, Postgresql)
    with readable_errors("the database", NOTHING_CHANGED), _exclusive(target):
        try:
            yield PostgresqlBuild(target)
        finally:
            with suppress(sa.exc.SQLAlchemyError), target.engine.connect() as connection:
                connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{PostgresqlBuild.SCHEMA}" CASCADE')


@contextmanager
def _exclusive(target: Postgresql) -> Iterator[None]:
    """Create the build schema, and prevent other restores while the block runs."""
    with target.engine.connect() as connection:
        if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK})").scalar_one():
            raise BackupError(gettext("Another restore of this database is under way. Wait for its end."))
        connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{PostgresqlBuild.SCHEMA}" CASCADE')
        try:
            connection.exec_driver_sql(f'CREATE SCHEMA "{PostgresqlBuild.SCHEMA}"')
        except sa.exc.ProgrammingError as error:
            user = connection.exec_driver_sql("SELECT current_user").scalar_one()
            raise BackupError(
                f"The user of the database may make no schema in it. {NOTHING_CHANGED}. As its owner: "
                f'GRANT CREATE ON DATABASE "{connection.engine.url.database or "..."}" TO "{user}";'
            ) from error
        yield


def counted(rows: Iterable[list[Any]], name: str, progress: Progress) -> Iterator[list[Any]]:
    """Yield ``rows``, reporting progress every 10,000 rows."""
    number = 0
    for number, row in enumerate(rows, 1):
        yield row
        if number % 10_000 == 0:
            progress(name, number)
    progress(name, number)
