"""Client-side deadlines: a frozen server or a black hole must not hold a request.

``statement_timeout`` runs inside PostgreSQL and is no help when that process is frozen. So a
watchdog thread in each web process shuts the socket of a statement that is overdue; the driver
then sees a closed connection and the pool drops it.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from app.db.faults import DatabaseUnavailable

STUCK_AFTER = 1.0
"""Seconds after which a running statement counts as stuck."""

MOST_STUCK = 8
"""With this many statements stuck, further ones are refused at once."""

TICK = 0.25
"""Seconds between two looks of the watchdog."""


class Watchdog:
    """Ends statements that run past ``limit`` seconds by shutting their socket."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._running: dict[Any, float] = {}
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._starting = threading.Lock()

    def begin(self, connection: Any) -> None:
        """Note that ``connection`` (a psycopg connection) has a statement under way.

        :raises DatabaseUnavailable: when too many statements are stuck already
        """
        if self._pid != os.getpid():
            self._start()
        now = time.monotonic()
        if len(self._running) >= MOST_STUCK and self._stuck(now) >= MOST_STUCK:
            raise DatabaseUnavailable("too many statements wait for the database")
        self._running[connection] = now

    def end(self, connection: Any) -> None:
        """Note that the statement of ``connection`` is over."""
        self._running.pop(connection, None)

    def _stuck(self, now: float) -> int:
        return sum(now - began > STUCK_AFTER for began in list(self._running.values()))

    def _start(self) -> None:
        with self._starting:
            if self._pid == os.getpid():
                return
            self._running = {}
            self._thread = threading.Thread(target=self._watch, name="database-deadlines", daemon=True)
            self._thread.start()
            self._pid = os.getpid()

    def _watch(self) -> None:
        while True:
            time.sleep(TICK)
            overdue = time.monotonic() - self.limit
            for connection, began in list(self._running.items()):
                if began < overdue and self._running.pop(connection, None) is not None:
                    _shut(connection)


def _shut(connection: Any) -> None:
    with suppress(Exception):
        sock = socket.socket(fileno=os.dup(connection.fileno()))
        try:
            sock.shutdown(socket.SHUT_RDWR)
        finally:
            sock.close()
