"""SQLite's single write lock: a queue within this process, and short sleeps while another process holds the lock.

Without the queue, every thread might end up waiting for a lock held by another program (a backup), one deadline after
the other, and none would be left for reads. SQLite's own busy handler sleeps up to 0.1 s between attempts, but our
transactions take a few milliseconds, so a second writer would wait many times longer than the lock is held.
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
"""Seconds after which the current writer counts as stuck."""

MAX_WAITING = 2
"""Writers that may wait behind a stuck one. Others are rejected immediately."""

BACKGROUND_LOCK_WAIT = 0.05
"""Seconds a background writer waits for the lock itself."""

CHECK_INTERVAL = 0.2
"""Seconds between a waiting writer's checks of whether the current one is stuck."""


class WriteQueue:
    """Admits one writer at a time. ``limit`` is the maximum wait in seconds, for the turn and the lock together."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._started_at = math.inf
        self._waiting: list[int] = []

    def acquire(self) -> float:
        """Wait for a turn; return the seconds left for the lock itself.

        :raises sqlalchemy.exc.TimeoutError: when the turn doesn't come in time, or too many wait behind a stuck writer
        """
        started = time.monotonic()
        if not self._lock.acquire(blocking=False):
            self._wait(started)
        self._started_at = time.monotonic()
        return self.limit - (self._started_at - started)

    def acquire_in_background(self) -> float:
        """Wait for a turn outside the list of waiting writers, as no request waits for this one.

        Return the seconds to wait for the lock itself.

        :raises sqlalchemy.exc.TimeoutError: when the turn doesn't come in time
        """
        if not self._lock.acquire(timeout=self.limit):
            raise exc.TimeoutError("waited too long for other writers of this process")
        self._started_at = time.monotonic()
        return BACKGROUND_LOCK_WAIT

    def release(self) -> None:
        """Give the turn to the next writer."""
        self._started_at = math.inf  # nothing is stuck between two turns
        self._lock.release()

    def _wait(self, started: float) -> None:
        thread_id = threading.get_ident()
        self._waiting.append(thread_id)
        try:
            while True:
                now = time.monotonic()
                is_stuck = now - self._started_at > STUCK_AFTER
                if now - started >= self.limit or (is_stuck and thread_id not in self._waiting[:MAX_WAITING]):
                    raise exc.TimeoutError("waited too long for other writers of this process")
                if self._lock.acquire(timeout=min(CHECK_INTERVAL, self.limit)):
                    return
        finally:
            self._waiting.remove(thread_id)


SHORT_SLEEP: Final = 0.0005
LONG_SLEEP: Final = 0.01
"""Seconds between attempts: short while one of our own transactions may hold the lock, then long."""

SHORT_SLEEPS_FOR: Final = 0.1
"""Seconds after which the lock must be held by something else, such as a backup or another program."""

PRIMARY_RESULT: Final = 0xFF
"""Mask for the primary result code in an extended one."""


class RetryingConnection(sqlite3.Connection):
    """A connection whose statements wait ``lock_wait`` seconds for a lock."""

    lock_wait: float = 5.0

    def cursor(self, *arguments: Any) -> Any:
        """Return a cursor that waits for locks."""
        return super().cursor(RetryingCursor)


class RetryingCursor(sqlite3.Cursor):
    """Retries statements that found the database locked and therefore changed nothing."""

    def execute(self, *arguments: Any) -> Any:
        """Run one statement.

        :raises sqlite3.OperationalError: also when the lock isn't released in time
        """
        try:
            return super().execute(*arguments)
        except sqlite3.OperationalError as error:
            if not _is_locked(error):
                raise
        # Not in the except block: the error's frames would keep the cursor.
        return self._retry(super().execute, arguments)

    def _retry(self, run: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        began = time.monotonic()
        waited = 0.0
        while waited < self.connection.lock_wait:  # type: ignore[attr-defined]
            time.sleep(SHORT_SLEEP if waited < SHORT_SLEEPS_FOR else LONG_SLEEP)
            try:
                return run(*arguments)
            except sqlite3.OperationalError as error:
                if not _is_locked(error):
                    raise
            waited = time.monotonic() - began
        return run(*arguments)


def _is_locked(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & PRIMARY_RESULT == sqlite3.SQLITE_BUSY


def prepare(connection: Any, record: Any) -> None:
    """Set up a new connection. WAL allows reads during a write; FULL keeps a used code used after a power cut."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.execute("PRAGMA secure_delete=ON")  # overwrite deleted data instead of leaving it in free pages
    cursor.close()
