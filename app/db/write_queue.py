"""SQLite has one write lock; a process's writers queue for it here, few of them and briefly.

Somebody else's lock (a backup, another program) would otherwise be waited for by every thread there is, one
deadline after the other, and nobody could read meanwhile.
"""

from __future__ import annotations

import math
import threading
import time

from sqlalchemy import exc

STUCK_AFTER = 1.0
"""Seconds after which the turn of one writer counts as stuck."""

MOST_WAITING = 2
"""Writers that wait behind a stuck one; others are told at once to try again."""

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
        self._began = math.inf  # between two turns nothing is stuck, however long nobody wrote
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
