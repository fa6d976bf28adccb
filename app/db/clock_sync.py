"""Sync all processes to the database's clock, so that leases, expiry and codes agree on every machine.

Each process measures the offset of its machine's clock when it connects, and then periodically when a connection
returns to the pool. ``app.clock`` returns the database's time. SQLite runs on the same machine and needs no sync.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Engine, event

from app import clock

if TYPE_CHECKING:
    from app.db.postgresql import Watchdog

log = structlog.get_logger()

MEASURE_EVERY = 10.0
WARN_EVERY = 60.0

IGNORED = 0.25
"""Seconds of difference that are ignored, in addition to the round trip, which limits the measurement's accuracy."""

TOLERATED = 2.0
"""Seconds of difference above which the operator is warned."""

STEP = 1.0
"""Seconds the machine's clock may drift from its monotonic clock before the offset is measured again immediately."""


class DatabaseClock:
    """Measures the offset of the database's clock for one process."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._measured_at = float("-inf")
        self._uptime = 0.0
        self._warned_at = float("-inf")
        self._measuring = threading.Lock()

    def connected(self, connection: Any, *_rest: Any) -> None:
        """Measure on a new connection."""
        self._measure(connection)

    def taken(self, connection: Any, *_rest: Any) -> None:
        """Measure first if this machine's clock was changed, or the machine was suspended."""
        if abs(_uptime() - self._uptime) > STEP:
            self._measure(connection)

    def returned(self, connection: Any, *_rest: Any) -> None:
        """Measure periodically, on a connection that was just returned to the pool."""
        if connection is not None and time.monotonic() - self._measured_at > MEASURE_EVERY:
            self._measure(connection)

    def _measure(self, connection: Any) -> None:
        if connection.closed or not self._measuring.acquire(blocking=False):
            return
        try:
            with suppress(Exception):  # a broken connection shows on its next use
                self._note(*self._ask(connection))
        finally:
            self._measuring.release()

    def _ask(self, connection: Any) -> tuple[float, float]:
        """Return by how many seconds the database is ahead of this machine, and the round-trip time."""
        was, connection.autocommit = connection.autocommit, True
        self._watchdog.begin(connection)
        try:
            began = time.time()
            asked = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8", prepare=False)
            theirs, ended = asked.fetchone()[0], time.time()
        finally:
            self._watchdog.end(connection)
            connection.autocommit = was
        return theirs - (began + ended) / 2, ended - began

    def _note(self, ahead: float, took: float) -> None:
        self._measured_at, self._uptime = time.monotonic(), _uptime()
        if abs(ahead) < IGNORED + took:
            ahead = 0.0
        clock.follow(ahead)
        if abs(ahead) > TOLERATED and self._measured_at - self._warned_at > WARN_EVERY:
            self._warned_at = self._measured_at
            log.warning("clock.differs", behind_database=round(ahead, 1), remedy="let both machines keep time by NTP")


def follow(engine: Engine, watchdog: Watchdog) -> None:
    """Sync this process to the clock of the PostgreSQL server behind ``engine``."""
    known = DatabaseClock(watchdog)
    event.listen(engine, "connect", known.connected)
    event.listen(engine, "checkout", known.taken)
    event.listen(engine, "checkin", known.returned)


def _uptime() -> float:
    return time.time() - time.monotonic()
