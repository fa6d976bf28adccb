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

MEASURE_INTERVAL = 10.0
WARNING_INTERVAL = 60.0

IGNORED_DIFFERENCE = 0.25
"""Seconds of difference that are ignored, in addition to the round trip, which limits the measurement's accuracy."""

WARNING_DIFFERENCE = 2.0
"""Seconds of difference above which the operator is warned."""

MAX_DRIFT = 1.0
"""Seconds the machine's clock may drift from its monotonic clock before the offset is measured again immediately."""


class DatabaseClock:
    """Measures the offset of the database's clock for one process."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._measured_at = float("-inf")
        self._uptime = 0.0
        self._warned_at = float("-inf")
        self._lock = threading.Lock()

    def connected(self, connection: Any, *_rest: Any) -> None:
        """Measure on a new connection."""
        self._measure(connection)

    def checked_out(self, connection: Any, *_rest: Any) -> None:
        """Measure first if this machine's clock was changed, or the machine was suspended."""
        if abs(_uptime() - self._uptime) > MAX_DRIFT:
            self._measure(connection)

    def checked_in(self, connection: Any, *_rest: Any) -> None:
        """Measure periodically, on a connection that was just returned to the pool."""
        if connection is not None and time.monotonic() - self._measured_at > MEASURE_INTERVAL:
            self._measure(connection)

    def _measure(self, connection: Any) -> None:
        if connection.closed or not self._lock.acquire(blocking=False):
            return
        try:
            with suppress(Exception):  # a broken connection shows on its next use
                self._record(*self._measure_offset(connection))
        finally:
            self._lock.release()

    def _measure_offset(self, connection: Any) -> tuple[float, float]:
        """Return by how many seconds the database is ahead of this machine, and the round-trip time."""
        autocommit, connection.autocommit = connection.autocommit, True
        self._watchdog.begin(connection)
        try:
            began = time.time()
            cursor = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8", prepare=False)
            database_time, ended = cursor.fetchone()[0], time.time()
        finally:
            self._watchdog.end(connection)
            connection.autocommit = autocommit
        return database_time - (began + ended) / 2, ended - began

    def _record(self, ahead: float, round_trip: float) -> None:
        self._measured_at, self._uptime = time.monotonic(), _uptime()
        if abs(ahead) < IGNORED_DIFFERENCE + round_trip:
            ahead = 0.0
        clock.follow(ahead)
        if abs(ahead) > WARNING_DIFFERENCE and self._measured_at - self._warned_at > WARNING_INTERVAL:
            self._warned_at = self._measured_at
            log.warning("clock.differs", behind_database=round(ahead, 1), remedy="let both machines keep time by NTP")


def follow(engine: Engine, watchdog: Watchdog) -> None:
    """Sync this process to the clock of the PostgreSQL server behind ``engine``."""
    database_clock = DatabaseClock(watchdog)
    event.listen(engine, "connect", database_clock.connected)
    event.listen(engine, "checkout", database_clock.checked_out)
    event.listen(engine, "checkin", database_clock.checked_in)


def _uptime() -> float:
    return time.time() - time.monotonic()
