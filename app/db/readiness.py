"""Whether the database can be used: it takes writes, and its tables fit this release."""

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

from app.db import migrations
from app.db.engine import UNSYNCED
from app.db.faults import DatabaseReadOnly
from app.db.sqlite import PRIMARY
from config.problems import NOT_CONFIGURED

WRITE = "PRAGMA user_version = 0"
WRITE_EVERY = 1.0
"""Seconds between two writes of a process that only try whether SQLite can be written."""


class _Tries:
    """What came of a process's last try to write, for the questions of the second after it."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._at = -WRITE_EVERY
        self._prevented: sqlite3.Error | None = None

    def write(self, connection: sa.Connection) -> None:
        with self._asking:
            if time.monotonic() - self._at >= WRITE_EVERY:
                self._prevented = _write_to_sqlite(connection)
                self._at = time.monotonic()
            if self._prevented is not None:
                raise exc.OperationalError(WRITE, None, self._prevented)


_tries: weakref.WeakKeyDictionary[sa.Engine, _Tries] = weakref.WeakKeyDictionary()


def refuse_unless_writable(connection: sa.Connection) -> None:
    """Return when the database takes writes.

    :raises DatabaseReadOnly: when PostgreSQL is read-only; its connection is dropped
    :raises sqlalchemy.exc.DBAPIError: when it does not answer; on SQLite also when its disk is full
    """
    if connection.dialect.name == "sqlite":
        _tries.setdefault(connection.engine, _Tries()).write(connection)
    elif connection.exec_driver_sql("SELECT current_setting('transaction_read_only')").scalar_one() == "on":
        connection.invalidate()
        raise DatabaseReadOnly("the database takes no writes")


def _write_to_sqlite(connection: sa.Connection) -> sqlite3.Error | None:
    """Write an unused number into the file's header, which adds a page to the log; return what prevented it.

    It has to be committed, for what is rolled back never reaches the disk. It doesn't wait: a file that another
    writer has locked is one that can be written.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    try:
        cursor = sqlite3.Cursor(driver)
        cursor.execute("PRAGMA synchronous=NORMAL")  # whether it can be written is known before it is on the disk
        connection.info[UNSYNCED] = True
        cursor.execute(WRITE)
    except sqlite3.OperationalError as error:
        return None if error.sqlite_errorcode & PRIMARY == sqlite3.SQLITE_BUSY else error
    return None


log = structlog.get_logger()

VERSION_TABLE = "alembic_version"
"""Where Alembic notes the revision that it has reached: one row, none after a downgrade of everything."""

NUMBERED = re.compile(r"[0-9]{4,}", re.ASCII)
"""How revisions are named. They form one chain, so one with a higher number comes later."""


@dataclass(frozen=True)
class Fit:
    """How the tables of a database fit this release.

    :ivar head: the newest revision of this release
    :ivar missing: revisions of this release that the tables lack, oldest first
    :ivar newer: the revision of a newer release that the tables have, "" when there is none
    :ivar foreign: a revision that no release of ours has, "" when there is none
    """

    head: str
    missing: tuple[str, ...] = ()
    newer: str = ""
    foreign: str = ""

    @property
    def fault(self) -> str:
        """Why this release can't work with these tables; "" when it can."""
        if self.foreign:
            return f"the tables are of another program or an unknown release (revision {self.foreign})."
        if self.missing:
            plural = "" if len(self.missing) == 1 else "s"
            return f"{len(self.missing)} migration{plural} pending ({', '.join(self.missing)})."
        return ""

    @property
    def remedy(self) -> str:
        """What to do about the fault."""
        if self.foreign:
            return "Look at LATCHKEY_DATABASE_URL, or install the release that made them."
        return "Bring the database up to date: flask db upgrade"


def fit(connection: sa.Connection) -> Fit:
    """Compare the tables at ``connection`` with the migrations of this release.

    Tables of a newer release fit: a migration must leave them usable by the release before
    (docs/architecture.md, Migrations).
    """
    known = migrations.revisions()
    head = known[-1]
    reached = revision(connection)
    if reached is None:
        return Fit(head, missing=tuple(known))
    if reached in known:
        return Fit(head, missing=tuple(known[known.index(reached) + 1 :]))
    if NUMBERED.fullmatch(reached) and int(reached) > int(head):
        return Fit(head, newer=reached)
    return Fit(head, foreign=reached)


def revision(connection: sa.Connection) -> str | None:
    """Return the revision that the tables at ``connection`` are at; None before the first migration."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    at: str | None = connection.scalar(sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE)))
    return at


def require_fit(connection: sa.Connection) -> None:
    """End this process with status 78 when its release can't work with the tables; warn when they are newer.

    The status is EX_CONFIG of sysexits.h: starting again changes nothing before a person has.
    """
    found = fit(connection)
    if found.fault:
        sys.stderr.write(f"Latchkey does not start: {found.fault} {found.remedy}\n")
        raise SystemExit(NOT_CONFIGURED)
    if found.newer:
        log.warning("database.newer_than_release", revision=found.newer, known=found.head)
