"""Readiness checks: the database accepts writes, and its tables fit this release."""

from __future__ import annotations

import re
import sqlite3
import sys
import threading
import time
import weakref
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from sqlalchemy import exc

from app.db import disk_space, migrations
from app.db.engine import SYNC_IS_NORMAL
from app.db.faults import DatabaseReadOnly
from app.db.sqlite import PRIMARY_RESULT
from config.problems import NOT_CONFIGURED

PROBE_STATEMENT = "PRAGMA user_version = 0"
WRITE_EVERY = 1.0
"""Minimum seconds between two test writes to SQLite by the same process."""


class _WriteProbe:
    """Caches the result of a process's last test write for ``WRITE_EVERY``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written_at = -WRITE_EVERY
        self._error: sqlite3.Error | None = None

    def check(self, connection: sa.Connection) -> None:
        with self._lock:
            if time.monotonic() - self._written_at >= WRITE_EVERY:
                self._error = _write_to_sqlite(connection)
                self._written_at = time.monotonic()
            if self._error is not None:
                raise exc.OperationalError(PROBE_STATEMENT, None, self._error)


_probes: weakref.WeakKeyDictionary[sa.Engine, _WriteProbe] = weakref.WeakKeyDictionary()


def refuse_unless_writable(connection: sa.Connection) -> None:
    """Raise unless the database accepts writes.

    :raises DatabaseReadOnly: when PostgreSQL is read-only; the connection is dropped
    :raises DatabaseFull: when PostgreSQL's disk is full, which this process has noticed by a write that failed
    :raises sqlalchemy.exc.DBAPIError: when it doesn't respond; on SQLite also when the disk is full
    """
    if connection.dialect.name == "sqlite":
        _probes.setdefault(connection.engine, _WriteProbe()).check(connection)
    elif connection.exec_driver_sql("SELECT current_setting('transaction_read_only')").scalar_one() == "on":
        connection.invalidate()
        raise DatabaseReadOnly("the database takes no writes")
    else:
        disk_space.refuse_if_full(connection.engine)


def _write_to_sqlite(connection: sa.Connection) -> sqlite3.Error | None:
    """Write an unused number to the file header, which appends a page to the WAL; return the error if it failed.

    The write is committed, because a rolled back one would never reach the disk. It doesn't wait for locks: if another
    writer holds the lock, the file is writable.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    try:
        cursor = sqlite3.Cursor(driver)
        cursor.execute("PRAGMA synchronous=NORMAL")  # no need to wait for the disk
        connection.info[SYNC_IS_NORMAL] = True
        cursor.execute(PROBE_STATEMENT)
    except sqlite3.OperationalError as error:
        return None if error.sqlite_errorcode & PRIMARY_RESULT == sqlite3.SQLITE_BUSY else error
    return None


log = structlog.get_logger()

VERSION_TABLE = "alembic_version"
"""Table where Alembic stores the current revision. It has one row, or none after a complete downgrade."""

REVISION_ID = re.compile(r"[0-9]{4,}", re.ASCII)
"""Format of revision ids. They form one chain, so a higher number is later."""


@dataclass(frozen=True)
class SchemaState:
    """Result of comparing the tables of a database with this release.

    :ivar head: newest revision of this release
    :ivar missing: pending revisions, oldest first
    :ivar newer: revision of the tables if it belongs to a newer release, else ""
    :ivar foreign: revision of the tables if it belongs to no release of ours, else ""
    """

    head: str
    missing: tuple[str, ...] = ()
    newer: str = ""
    foreign: str = ""

    @property
    def fault(self) -> str:
        """Why this release can't use these tables; "" if it can."""
        if self.foreign:
            return f"the tables are of another program or an unknown release (revision {self.foreign})."
        if self.missing:
            plural = "" if len(self.missing) == 1 else "s"
            return f"{len(self.missing)} migration{plural} pending ({', '.join(self.missing)})."
        return ""

    @property
    def remedy(self) -> str:
        """How to fix the fault."""
        if self.foreign:
            return "Look at LATCHKEY_DATABASE_URL, or install the release that made them."
        return "Bring the database up to date: flask db upgrade"


def schema_state(connection: sa.Connection) -> SchemaState:
    """Compare the tables at ``connection`` with the migrations of this release.

    Tables of a newer release fit, since migrations must keep them usable by the previous release
    (docs/architecture.md, Migrations).
    """
    known = migrations.revisions()
    head = known[-1]
    current = revision(connection)
    if current is None:
        return SchemaState(head, missing=tuple(known))
    if current in known:
        return SchemaState(head, missing=tuple(known[known.index(current) + 1 :]))
    if REVISION_ID.fullmatch(current) and int(current) > int(head):
        return SchemaState(head, newer=current)
    return SchemaState(head, foreign=current)


def revision(connection: sa.Connection) -> str | None:
    """Return the current revision of the tables at ``connection``; None before the first migration."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    number: str | None = connection.scalar(sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE)))
    return number


def require_schema(connection: sa.Connection) -> None:
    """Exit with status 78 if this release can't use the tables; log a warning if they are newer.

    The status is EX_CONFIG of sysexits.h: restarting is pointless until someone has fixed the cause.
    """
    found = schema_state(connection)
    if found.fault:
        sys.stderr.write(f"Latchkey does not start: {found.fault} {found.remedy}\n")
        raise SystemExit(NOT_CONFIGURED)
    if found.newer:
        log.warning("database.newer_than_release", revision=found.newer, known=found.head)
