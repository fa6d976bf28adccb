"""Places in the application: how many requests of a process are worked on at a time.

Threads of one interpreter take turns at it, and one that comes back from the disk waits for its turn again while it
holds SQLite's write lock. One request after the other is faster there, as long as each is quick. So there are the
usual places, and more are opened one by one while whoever has one lingers: waits for a lock, or for a database that
is away.
"""

from __future__ import annotations

import asyncio
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
    """``usual`` places, and up to ``most`` while requests linger. Who came first has the first that is free.

    Belongs to one event loop.
    """

    def __init__(self, usual: int, most: int) -> None:
        self.most = most
        self._free = min(usual, most)
        self._closed = most - self._free
        self._opened = 0
        self._waiting: deque[tuple[float, asyncio.Future[float | None]]] = deque()
        self._still = 0.0
        """Seconds without a change, as the watch saw it: a late loop has not seen what came back meanwhile."""
        self._watched = False

    async def take(self) -> float | None:
        """Take a place, and return since when it is taken (monotonic s); None when there was none in time.

        Waits only while places come back.
        """
        came = time.monotonic()
        if self._free:
            self._free -= 1
            self._still = 0.0
            return came
        if not self._closed and self._still >= STALLED:
            return None
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[float | None] = loop.create_future()
        self._waiting.append((came, turn))
        if not self._watched:
            self._watched = True
            loop.call_later(LINGERS, self._watch, loop)
        return await turn

    def give(self, since: float) -> None:
        """Give back a place that was taken then, or hand it on. Who lingered closes one that was opened for it."""
        now = time.monotonic()
        self._still = 0.0
        if self._opened and now - since >= LINGERS:
            self._opened -= 1
            self._closed += 1
        elif not self._hand_on(now):
            self._free += 1

    def _hand_on(self, since: float | None) -> bool:
        """Give a place, or None, to who came first; False when nobody waits."""
        while self._waiting:
            turn = self._waiting.popleft()[1]
            if not turn.done():  # who was cancelled is done
                turn.set_result(since)
                return True
        return False

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open a place for those who wait behind others that linger, and send away those who wait in vain."""
        now = time.monotonic()
        self._still += LINGERS
        if self._closed and self._still >= 2 * LINGERS:  # the first look may come right after a change
            if self._hand_on(now):
                self._closed -= 1
                self._opened += 1
                self._still = 0.0
        elif self._still >= STALLED:
            while self._hand_on(None):
                pass
        while self._waiting and now - self._waiting[0][0] >= PLACE_WITHIN:
            self._hand_on(None)
        self._watched = bool(self._waiting)
        if self._watched:
            loop.call_later(LINGERS, self._watch, loop)
