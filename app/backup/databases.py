"""SQLite and PostgreSQL as backups use them: read as a snapshot, built next to the live database and swapped in.

Uses separate connections without the service's timeouts, since reading a large table takes minutes.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import psycopg
import sqlalchemy as sa

from app.backup import tables
from app.backup.faults import BackupError
from app.backup.tables import Table
from app.db.engine import engine_url
from config.postgresql import parameters

SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")
READ = 2000
"""Rows read or written per batch."""


class Database(ABC):
    """A database at a URL in the form of ``LATCHKEY_DATABASE_URL``.

    :ivar engine: in autocommit mode; transactions are started explicitly
    """

    kind: ClassVar[str]
    engine: sa.Engine

    @abstractmethod
    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Provide a connection that sees a consistent snapshot of the database while the block runs."""
        yield cast("sa.Connection", None)

    @abstractmethod
    def read(self, connection: sa.Connection, table: Table) -> Iterator[list[Any]]:
        """Yield batches of rows in the portable format."""

    @abstractmethod
    def write(self, connection: sa.Connection, table: Table, rows: Iterable[list[Any]]) -> None:
        """Insert rows in the portable format."""

    @contextmanager
    def unconstrained(self, connection: sa.Connection) -> Iterator[None]:
        """Suspend foreign key checks in this connection's transaction while the block runs."""
        yield

    @abstractmethod
    def last_number(self, connection: sa.Connection, table: Table) -> int:
        """Return the last number assigned to the autoincrement column of ``table``, 0 for none."""

    @abstractmethod
    def advance_sequence(self, connection: sa.Connection, table: Table, last: int) -> None:
        """Continue numbering after ``last`` and after every number in the table."""

    @abstractmethod
    def version(self, connection: sa.Connection) -> str:
        """Return the database server's version, such as ``15.18``."""

    def digest(self, connection: sa.Connection, table: Table) -> dict[str, Any]:
        """Return ``rows`` and ``digest`` of a table's current content."""
        digest = tables.Digest()
        for rows in self.read(connection, table):
            digest.add(map(tables.line_of, rows))
        return digest.value


class Sqlite(Database):
    """An SQLite file."""

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = sa.create_engine(
            f"sqlite:///{path}", poolclass=sa.NullPool, isolation_level="AUTOCOMMIT", connect_args={"timeout": 30}
        )

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        if not self.path.exists():
            raise BackupError(f"There is no database at {self.path}.")
        with self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").all()  # the first read starts the snapshot
            yield connection
            connection.exec_driver_sql("COMMIT")

    def read(self, connection: sa.Connection, table: Table) -> Iterator[list[Any]]:
        places: list[tuple[int, tables.Converter]] = [(place, bool) for place in table.places("boolean")]
        places += [(place, tables.time_of_sqlite) for place in table.places("time")]
        places += [(place, bytes.hex) for place in table.places("bytes")]
        cursor = self._driver(connection).execute(f'SELECT {table.names} FROM "{table.name}"')  # noqa: S608
        while rows := cursor.fetchmany(READ):
            yield tables.converted(rows, places)

    def write(self, connection: sa.Connection, table: Table, rows: Iterable[list[Any]]) -> None:
        places: list[tuple[int, tables.Converter]] = [(at, tables.time_for_sqlite) for at in table.places("time")]
        places += [(place, bytes.fromhex) for place in table.places("bytes")]
        marks = ", ".join("?" * len(table.columns))
        insert = f'INSERT INTO "{table.name}" ({table.names}) VALUES ({marks})'  # noqa: S608
        driver = self._driver(connection)
        for batch in batches(rows):
            driver.executemany(insert, tables.converted(batch, places))

    def last_number(self, connection: sa.Connection, table: Table) -> int:
        found = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).scalar()
        return int(found or 0)

    def advance_sequence(self, connection: sa.Connection, table: Table, last: int) -> None:
        last = max(last, self.last_number(connection, table))
        connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
        connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table.name, last))

    def version(self, connection: sa.Connection) -> str:
        return sqlite3.sqlite_version

    @staticmethod
    def _driver(connection: sa.Connection) -> sqlite3.Connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        return driver


class Postgresql(Database):
    """A PostgreSQL database.

    :param schema: the schema of our tables; "" for the URL's default schema
    """

    kind = "postgresql"

    def __init__(self, url: str, schema: str = "") -> None:
        self.url = url
        self.parameters = {"connect_timeout": "10", "target_session_attrs": "read-write", **parameters(url)}
        connect: dict[str, Any] = {**self.parameters, "prepare_threshold": None}
        if schema:
            given = [connect["options"]] if "options" in connect else []
            connect["options"] = " ".join([*given, f"-c search_path={schema}"])
        self.engine = sa.create_engine(
            "postgresql+psycopg://", poolclass=sa.NullPool, isolation_level="AUTOCOMMIT", connect_args=connect
        )

    @cached_property
    def schema(self) -> str:
        """The schema of our tables."""
        with self.engine.connect() as connection:
            return str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        with self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self.lift_deadlines(connection)
            yield connection
            connection.exec_driver_sql("COMMIT")

    @staticmethod
    def lift_deadlines(connection: sa.Connection) -> None:
        """Disable timeouts for this connection's transaction, whatever the server's settings are."""
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {name} = 0")
        connection.exec_driver_sql("SET LOCAL timezone = 'UTC'")

    @contextmanager
    def unconstrained(self, connection: sa.Connection) -> Iterator[None]:
        self.lift_deadlines(connection)
        found = connection.exec_driver_sql(_FOREIGN_KEYS).all()
        for table, name, _ in found:
            connection.exec_driver_sql(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        yield
        for table, name, definition in found:  # one check of all rows is faster than row by row
            connection.exec_driver_sql(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')

    def read(self, connection: sa.Connection, table: Table) -> Iterator[list[Any]]:
        places: list[tuple[int, tables.Converter]] = [(place, bytes.hex) for place in table.places("bytes")]
        columns = ", ".join(_as_ours(name, kind) for name, kind in table.columns)
        with self._driver(connection).cursor("latchkey_rows") as cursor:
            cursor.execute(f'SELECT {columns} FROM "{table.name}"')  # noqa: S608
            while rows := cursor.fetchmany(READ):
                yield tables.converted(rows, places)

    def write(self, connection: sa.Connection, table: Table, rows: Iterable[list[Any]]) -> None:
        places = [(place, bytes.fromhex) for place in table.places("bytes")]
        with self._driver(connection).cursor() as cursor:
            copying = cursor.copy(f'COPY "{table.name}" ({table.names}) FROM STDIN')
            with copying as copy:
                for batch in batches(rows):
                    for row in tables.converted(batch, places) if places else batch:
                        copy.write_row(row)

    def last_number(self, connection: sa.Connection, table: Table) -> int:
        found = self._sequence(connection, table)
        if found is None:
            return 0
        last = connection.exec_driver_sql(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {found}")  # noqa: S608
        return int(last.scalar_one())

    def advance_sequence(self, connection: sa.Connection, table: Table, last: int) -> None:
        found = self._sequence(connection, table)
        highest = connection.exec_driver_sql(f'SELECT max("{table.numbered}") FROM "{table.name}"').scalar() or 0  # noqa: S608
        if found is not None and (last := max(last, highest)):
            connection.execute(sa.select(sa.func.setval(found, last)))

    def _sequence(self, connection: sa.Connection, table: Table) -> str | None:
        named = sa.select(sa.func.pg_get_serial_sequence(f'"{table.name}"', table.numbered))
        return connection.scalar(named)

    def version(self, connection: sa.Connection) -> str:
        return str(connection.exec_driver_sql("SELECT current_setting('server_version')").scalar_one()).split()[0]

    @staticmethod
    def _driver(connection: sa.Connection) -> psycopg.Connection[Any]:
        return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


_FOREIGN_KEYS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' AND connamespace = current_schema()::regnamespace
"""


def _as_ours(name: str, kind: str) -> str:
    """Return the SQL expression that selects a column in the portable format."""
    if kind == "time":
        return f"""to_char("{name}" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    return f'"{name}"::text' if kind == "json" else f'"{name}"'


def batches(rows: Iterable[list[Any]]) -> Iterator[Sequence[list[Any]]]:
    """Yield ``rows`` in lists of ``READ``."""
    batch: list[list[Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == READ:
            yield batch
            batch = []
    if batch:
        yield batch


def database_at(url: str) -> Database:
    """Return the database at ``url``.

    :raises BackupError: when it is an in-memory database, or the URL is invalid
    """
    if url.partition(":")[0] not in SCHEMES:
        raise BackupError("The database URL must begin with sqlite:/// or postgresql://.")
    if not url.startswith("sqlite"):
        try:
            return Postgresql(url)
        except ValueError as error:
            raise BackupError(f"The database URL can't be used: {error}.") from None
    path = sa.make_url(engine_url(url)).database or ""
    if not path or path.startswith((":", "file:")):
        raise BackupError("The database is kept in memory alone: there is nothing to back up or restore.")
    return Sqlite(Path(path))
