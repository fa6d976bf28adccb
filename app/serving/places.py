"""Places in the application: how many requests of a process are worked on at a time.

Threads of one interpreter take turns at it, and one that comes back from the disk waits for its turn again while it
holds SQLite's write lock. One request after the other is faster there, as long as each is quick. So there are the
usual places, and more are opened one by one while whoever has one lingers: waits for a lock, or for a database that
is away.
"""

from __future__ import annotations

import contextlib
import threading
import time
from queue import Empty, SimpleQueue
from typing import Final

PLACE_WITHIN: Final = 5.0
"""Seconds a whole request waits for a place before it is answered 503."""

STALLED: Final = 1.0
"""Seconds without any place coming back after which nobody waits for one: what all of them wait for is away."""

LINGERS: Final = 0.02
"""Seconds after which a request is not counted on to be done in a moment. A sign-in takes a few milliseconds."""


class Places:
    """``usual`` places, and up to ``most`` while requests linger."""

    def __init__(self, usual: int, most: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(min(usual, most)):
            self._free.put(None)
        self._closed = most - min(usual, most)
        self._opened = 0
        self._change = threading.Lock()
        self._moved = time.monotonic()

    def take(self) -> float | None:
        """Take a place, and return since when it is taken (monotonic s); None when there was none in time.

        Waits only while places come back.
        """
        now = time.monotonic()
        until, wait = now + PLACE_WITHIN, 0.0
        while wait >= 0:
            with contextlib.suppress(Empty):
                self._free.get(timeout=wait)
                self._moved = time.monotonic()
                return self._moved
            now = time.monotonic()
            if now - self._moved >= LINGERS and self._open_another():
                self._moved = now
                return now
            nobody_came = max(self._moved + LINGERS, now) if self._closed else self._moved + STALLED
            wait = min(until, nobody_came) - now
        return None

    def give(self, since: float) -> None:
        """Give back a place that was taken then. Who lingered closes one that was opened for it."""
        now = self._moved = time.monotonic()
        if self._opened and now - since >= LINGERS and self._close_one():
            return
        self._free.put(None)

    def _open_another(self) -> bool:
        with self._change:
            if not self._closed:
                return False
            self._closed -= 1
            self._opened += 1
            return True

    def _close_one(self) -> bool:
        with self._change:
            if not self._opened:
                return False
            self._opened -= 1
            self._closed += 1
            return True
