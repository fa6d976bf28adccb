"""Which message goes next, so that a slow mail domain holds up nobody but its own people."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable

SLOW = 2.0
"""Seconds a message may take before its lane counts as slow."""

SLOW_FOR = 300.0
"""Seconds for which a slow lane is left one thread."""

QUICK = 0.05
"""Seconds a message may take for its lane to count as quick."""

BATCH = 16
DEPTH = 1024


class Lanes:
    """The messages one worker process knows of, by lane (mail domain, or ``sms``), and those to try later.

    Lanes take turns. No lane gets all threads, and one that was slow gets one, so there is always a thread
    for the others. A quick lane gives whole batches to one thread, for a batch costs little more than a message;
    otherwise what waits is shared out. What does not fit is refused: it stays in its row, where the sweep finds it.
    """

    def __init__(self, threads: int, depth: int = DEPTH) -> None:
        self.threads = threads
        self.depth = depth
        self._waiting: OrderedDict[str, deque[str]] = OrderedDict()
        self._later: list[tuple[float, str, str]] = []
        self._known: set[str] = set()
        self._busy: Counter[str] = Counter()
        self._slow_until: dict[str, float] = {}
        self._quick: set[str] = set()
        self._refused = False
        self._room_again = threading.Event()
        self._closed = False
        self._changed = threading.Condition()

    def room(self) -> int:
        """Return how many more messages fit."""
        return max(0, self.depth - len(self._known))

    def put(self, message_id: str, lane: str, wait: float = 0.0) -> bool:
        """Add a message, to be tried in ``wait`` seconds; return whether it was new and fitted.

        A lane may fill half of the room, so that one that stands still leaves the rest to others.
        """
        with self._changed:
            taken = self._put(message_id, lane, wait)
            self._changed.notify()
            return taken

    def put_all(self, entries: Iterable[tuple[str, str]]) -> int:
        """Add messages, pairs of id and lane, before any of them is taken; return how many were new and fitted."""
        with self._changed:
            count = sum([self._put(message_id, lane) for message_id, lane in entries])
            self._changed.notify(count)
            return count

    def wait_for_room(self, timeout: float) -> bool:
        """Wait until what was refused would fit, ``timeout`` seconds at most, or until the end; return whether so."""
        room = self._room_again.wait(timeout)
        self._room_again.clear()
        return room

    def _put(self, message_id: str, lane: str, wait: float = 0.0) -> bool:
        if self._closed or message_id in self._known:
            return False
        if len(self._waiting.get(lane, ())) >= self.depth // 2 or len(self._known) >= self.depth:
            self._refused = True
            return False
        self._known.add(message_id)
        if wait > 0:
            heapq.heappush(self._later, (time.monotonic() + wait, message_id, lane))
        else:
            self._waiting.setdefault(lane, deque()).append(message_id)
        return True

    def take(self, timeout: float) -> tuple[str, list[str]] | None:
        """Return the next lane and a batch of its messages, or None after ``timeout`` seconds without one.

        Whoever takes says ``done`` afterwards.
        """
        until = time.monotonic() + timeout
        with self._changed:
            while True:
                now = time.monotonic()
                self._ripen(now)
                if taken := self._next(now):
                    return taken
                if now >= until or self._closed:
                    return None
                wake = min(until, self._later[0][0]) if self._later else until
                self._changed.wait(max(wake - now, 0.001))

    def done(self, lane: str, ids: list[str], seconds: float) -> None:
        """Note that a batch is over, and how long one of its messages took."""
        with self._changed:
            self._busy[lane] -= 1
            if self._busy[lane] <= 0:
                del self._busy[lane]
            self._known.difference_update(ids)
            if seconds > SLOW:
                self._slow_until[lane] = time.monotonic() + SLOW_FOR
            else:
                self._slow_until.pop(lane, None)
            self._note_pace(lane, seconds)
            if self._refused and len(self._known) <= self.depth // 4:
                self._refused = False
                self._room_again.set()
            self._changed.notify_all()

    def close(self) -> list[tuple[str, str]]:
        """Take and give nothing more. Return what waited, as pairs of id and lane."""
        with self._changed:
            self._closed = True
            self._room_again.set()
            self._changed.notify_all()
            left = [(message_id, lane) for lane, ids in self._waiting.items() for message_id in ids]
            self._waiting.clear()
            self._later.clear()
            self._known.clear()
            return left

    def _ripen(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, message_id, lane = heapq.heappop(self._later)
            self._waiting.setdefault(lane, deque()).append(message_id)

    def _next(self, now: float) -> tuple[str, list[str]] | None:
        for lane, ids in self._waiting.items():
            if self._busy[lane] < self._threads_for(lane, now):
                size = BATCH if lane in self._quick else min(BATCH, 1 + len(ids) // self.threads)
                taken = [ids.popleft() for _ in range(min(size, len(ids)))]
                self._waiting.move_to_end(lane)
                if not ids:
                    del self._waiting[lane]
                self._busy[lane] += 1
                return lane, taken
        return None

    def _note_pace(self, lane: str, seconds: float) -> None:
        if seconds > QUICK:
            self._quick.discard(lane)
            return
        if len(self._quick) >= self.depth:  # domains come and go; what is quick shows again with its next batch
            self._quick.clear()
        self._quick.add(lane)

    def _threads_for(self, lane: str, now: float) -> int:
        if self._slow_until.get(lane, 0.0) > now:
            return 1
        return max(1, self.threads - 1)
