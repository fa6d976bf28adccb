"""Whether the database can be written, checked without slowing any request."""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref

import sqlalchemy as sa
from sqlalchemy import exc

from app.db.busy_retry import PRIMARY
from app.db.engine import UNSYNCED
from app.db.faults import DatabaseReadOnly

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
    """Write a number that nobody reads into the file's header, which adds a page to the log; return what prevented it.

    It has to be committed, for what is rolled back never reaches the disk. It waits for nobody: a file that another
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
