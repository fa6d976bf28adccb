"""SQLite has one write lock: a queue for it in this process, and short naps while another process holds it.

Otherwise every thread would wait for the lock of another program (a backup), one deadline after the other, and none
could read meanwhile. SQLite's own handler sleeps up to 0.1 s between two looks, while a
transaction of ours takes a few milliseconds: the second writer would wait many times as long as the lock is held.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import exc

STUCK_AFTER = 1.0
"""Seconds after which the turn of one writer counts as stuck."""

MOST_WAITING = 2
"""Writers that wait behind a stuck one; others are rejected at once."""

BRIEF = 0.05
"""Seconds that a writer in the background waits for the lock itself."""

LOOK_EVERY = 0.2
"""Seconds between two looks of a waiting writer at how long the queue stands still."""


class WriteQueue:
    """One writer at a time; ``limit`` is how many seconds a writer may wait, for its turn and for the lock together."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._turn = threading.Lock()
        self._began = math.inf
        self._waiting: list[int] = []

    def take(self) -> float:
        """Wait for a turn. Return the seconds of the limit that are left for the lock itself.

        :raises sqlalchemy.exc.TimeoutError: when the turn does not come in time, or will hardly come
        """
        came = time.monotonic()
        if not self._turn.acquire(blocking=False):
            self._wait(came)
        self._began = time.monotonic()
        return self.limit - (self._began - came)

    def take_in_background(self) -> float:
        """Wait for a turn without a place among the waiting, and return BRIEF: no request waits for this writer.

        :raises sqlalchemy.exc.TimeoutError: when the turn does not come in time
        """
        if not self._turn.acquire(timeout=self.limit):
            raise exc.TimeoutError("waited too long for other writers of this process")
        self._began = time.monotonic()
        return BRIEF

    def give(self) -> None:
        """Let the next writer have its turn."""
        self._began = math.inf  # between two turns nothing is stuck, however long that is
        self._turn.release()

    def _wait(self, came: float) -> None:
        me = threading.get_ident()
        self._waiting.append(me)
        try:
            while True:
                now = time.monotonic()
                stuck = now - self._began > STUCK_AFTER
                if now - came >= self.limit or (stuck and me not in self._waiting[:MOST_WAITING]):
                    raise exc.TimeoutError("waited too long for other writers of this process")
                if self._turn.acquire(timeout=min(LOOK_EVERY, self.limit)):
                    return
        finally:
            self._waiting.remove(me)


SHORT_NAP: Final = 0.0005
LONG_NAP: Final = 0.01
"""Seconds between two looks: short ones while a transaction of ours may have the lock, then long ones."""

SHORT_FOR: Final = 0.1
"""Seconds after which it must be something else that has the lock: a backup, another program."""

PRIMARY: Final = 0xFF
"""The part of an extended result code that names the error."""


class RetryingConnection(sqlite3.Connection):
    """A connection whose statements wait ``patience`` seconds for a lock."""

    patience: float = 5.0

    def cursor(self, *given: Any) -> Any:
        """Return a cursor that waits."""
        return super().cursor(RetryingCursor)


class RetryingCursor(sqlite3.Cursor):
    """Runs a statement again that found the database locked; it has changed nothing."""

    def execute(self, *given: Any) -> Any:
        """Run one statement.

        :raises sqlite3.OperationalError: also when the lock does not come in time
        """
        try:
            return super().execute(*given)
        except sqlite3.OperationalError as error:
            if not _is_locked(error):
                raise
        return self._again(super().execute, given)  # out here nothing holds the error, whose frames hold this cursor

    def _again(self, run: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        began = time.monotonic()
        waited = 0.0
        while waited < self.connection.patience:  # type: ignore[attr-defined]
            time.sleep(SHORT_NAP if waited < SHORT_FOR else LONG_NAP)
            try:
                return run(*given)
            except sqlite3.OperationalError as error:
                if not _is_locked(error):
                    raise
            waited = time.monotonic() - began
        return run(*given)


def _is_locked(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & PRIMARY == sqlite3.SQLITE_BUSY


def prepare(connection: Any, record: Any) -> None:
    """Set up a new connection: WAL lets reads go on beside a write; FULL keeps a used code used after a power cut."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.execute("PRAGMA secure_delete=ON")  # what is erased is overwritten, not left in pages that are free
    cursor.close()
