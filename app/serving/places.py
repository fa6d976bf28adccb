"""Places in the application: how many requests of a process are worked on at a time.

Threads of one interpreter take turns at it, and one that comes back from the disk waits for its turn again while it
holds SQLite's write lock. One request after the other is faster there, as long as each is quick. So there are the
usual places, and more are opened one by one while whoever has one lingers: waits for a lock, or for a database that
is away.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

PLACE_WITHIN: Final = 5.0
"""Seconds a whole request waits for a place before it is answered 503."""

STALLED: Final = 1.0
"""Seconds without any place coming back after which nobody waits for one: what all of them wait for is away."""

LINGERS: Final = 0.02
"""Seconds after which a request is not counted on to be done in a moment. A sign-in takes a few milliseconds."""


class Places:
    """``usual`` places, and up to ``most`` while requests linger. Who came first has the first that is free."""

    def __init__(self, usual: int, most: int) -> None:
        self._free = min(usual, most)
        self._closed = most - self._free
        self._opened = 0
        self._waiting: deque[threading.Lock] = deque()
        self._change = threading.Lock()
        self._moved = time.monotonic()

    def take(self) -> float | None:
        """Take a place, and return since when it is taken (monotonic s); None when there was none in time.

        Waits only while places come back.
        """
        came = time.monotonic()
        with self._change:
            if self._free:
                self._free -= 1
                self._moved = came
                return came
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        return self._wait(turn, came + PLACE_WITHIN)

    def give(self, since: float) -> None:
        """Give back a place that was taken then, or hand it on. Who lingered closes one that was opened for it."""
        with self._change:
            now = self._moved = time.monotonic()
            if self._opened and now - since >= LINGERS:
                self._opened -= 1
                self._closed += 1
            elif self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

    def _wait(self, turn: threading.Lock, until: float) -> float | None:
        while True:
            with self._change:
                now = time.monotonic()
                if turn not in self._waiting:
                    return now  # handed over at this very moment
                still = now - self._moved
                if self._closed and still >= LINGERS and turn is self._waiting[0]:
                    self._waiting.popleft()
                    self._closed -= 1
                    self._opened += 1
                    self._moved = now
                    return now
                if now >= until or (not self._closed and still >= STALLED):
                    self._waiting.remove(turn)
                    return None
                nap = (LINGERS if self._closed else STALLED) - still
            if turn.acquire(timeout=min(until - now, nap if nap > 0 else LINGERS)):
                return time.monotonic()
