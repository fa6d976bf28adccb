"""Which messages a worker sends next, and which wait for another try.

A worker holds none of them: due rows stay in the table. Events that are posted to other programs are scheduled in the
same way, from a table of their own.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import sqlalchemy as sa
import structlog

from app import clock
from app.extensions import db
from app.outbox import leases
from app.outbox.leases import Due
from app.outbox.models import SENDING, WAITING, Message

LOOK_EVERY = 1.0
"""Seconds between two looks at the table without a wake-up."""

GATHER = 0.1
"""Seconds after a look that left nothing due, in which messages may gather to be sent together: the statements of a
batch are as many for one message as for sixteen."""

ROUND = 8
"""Destinations that get one batch each before the table is looked at again."""

BATCH = 16
BATCH_TIME = 0.5
"""Seconds that a batch should take at the most, by what the last one took."""

SLOW = 2.0
"""Seconds a message may take before its destination counts as slow."""

PACES = 4096
"""Destinations whose pace is remembered."""

SHARE = 4
"""Batches that a quick destination has under way at the most: mail servers count connections."""


Row = TypeVar("Row")


class Queue(Protocol[Row]):
    """The table that is scheduled. Both methods need an app context, and raise what the database raises."""

    def due(self) -> list[Due]:
        """Return where rows are due."""

    def claim_from(self, which: Due, most: int, *, newest: bool = False) -> list[Row]:
        """Take at most so many of these for this worker."""


class Messages:
    """The table of messages."""

    def due(self) -> list[Due]:
        """Return where messages are due."""
        return leases.due()

    def claim_from(self, which: Due, most: int, *, newest: bool = False) -> list[Message]:
        """Take at most so many messages."""
        return leases.claim_from(which, most, newest=newest)


class Schedule(Generic[Row]):
    """Hands batches to the threads of one worker process: destinations take turns, and none takes all threads.

    A destination that is slow, or not known yet, gets one thread, and all such together leave one to the quick ones.
    Within a destination messages that were never tried come before those to be tried again. The newest of them, for
    which someone waits now, and those that wait longest have every other batch: after an outage new codes leave at
    once, and when more comes than can leave, no message waits forever.
    """

    def __init__(self, threads: int, look_every: float, queue: Queue[Row]) -> None:
        self.threads = threads
        self.look_every = look_every
        self._queue = queue
        self._looking = threading.Lock()
        self._woken = threading.Event()
        self._round: deque[Due] = deque()
        self._more = True
        self._closed = False
        self._newest = False
        self._looked_at = float("-inf")
        self._passed_over: set[str] = set()
        self._under_way: Counter[str] = Counter()
        self._paces: OrderedDict[str, float] = OrderedDict()
        self._changing = threading.Lock()

    def wake(self) -> None:
        """Have a thread look at the table soon."""
        self._woken.set()

    def close(self) -> None:
        """Hand out nothing more, and wake every thread that waits."""
        self._closed = True
        self._woken.set()

    def take(self, timeout: float) -> tuple[str, list[Row]] | None:
        """Return a destination and some of its messages, claimed; None when there was nothing for ``timeout`` seconds.

        Needs an app context. The caller says ``done`` when they are sent. Raises what the database raises.
        """
        until = time.monotonic() + timeout
        if not self._looking.acquire(timeout=timeout):
            return None
        try:
            while not self._closed and (self._round or self._look(until)):
                while self._round and not self._closed:
                    if taken := self._take_from(self._round.popleft()):
                        return taken
            return None
        finally:
            self._looking.release()

    def done(self, destination: str, seconds: float) -> None:
        """Note that a batch is over, and how long one of its messages took."""
        with self._changing:
            self._under_way[destination] -= 1
            if self._under_way[destination] <= 0:
                del self._under_way[destination]
            self._paces[destination] = seconds
            self._paces.move_to_end(destination)
            while len(self._paces) > PACES:
                self._paces.popitem(last=False)
            again = bool(self._passed_over)
        if again:
            self.wake()

    def _look(self, until: float) -> bool:
        """Fill the round, at once when the last one left something due; return False when it is not time to look."""
        if not self._more:
            now, look_at = time.monotonic(), self._looked_at + self.look_every
            if now >= until:
                return False
            if not self._woken.wait(max(0.0, min(until, look_at) - now)) and time.monotonic() < look_at:
                return False
            if self._closed:
                return False
            time.sleep(max(0.0, self._looked_at + GATHER - time.monotonic()))
        self._woken.clear()
        self._looked_at = time.monotonic()
        with self._changing:
            self._passed_over.clear()
        found = [each for each in self._queue.due() if self._may_take(each.destination)]
        self._round.extend(choose(found))
        self._more = len(self._round) < len(found)
        return True

    def _take_from(self, which: Due) -> tuple[str, list[Row]] | None:
        if not self._may_take(which.destination):
            return None
        self._newest = not self._newest
        most = self._size(which.destination)
        messages = self._queue.claim_from(which, most, newest=self._newest)
        if not messages:  # another worker was quicker
            return None
        self._more = self._more or len(messages) == most
        with self._changing:
            self._under_way[which.destination] += 1
        return which.destination, messages

    def _may_take(self, destination: str) -> bool:
        with self._changing:
            most = 1 if self._may_be_slow(destination) else min(SHARE, max(1, self.threads - 1))
            may = self._under_way[destination] < most
            if may and self._may_be_slow(destination):
                busy = sum(count for each, count in self._under_way.items() if self._may_be_slow(each))
                may = busy < max(1, self.threads - 1)
            if not may:
                self._passed_over.add(destination)
            return may

    def _may_be_slow(self, destination: str) -> bool:
        return self._paces.get(destination, SLOW) >= SLOW

    def _size(self, destination: str) -> int:
        pace = self._paces.get(destination, SLOW)
        return max(1, min(BATCH, int(BATCH_TIME / pace))) if pace > 0 else BATCH


def choose(found: Sequence[Due]) -> list[Due]:
    """Return which destinations have their turn in the next round, in their order.

    First those with messages never tried: the newest, for which someone waits now, and those that wait longest, so
    that none waits forever. Then those to be tried again; one of them has a turn in every round.
    """
    new = sorted((each for each in found if not each.tried), key=lambda each: each.newest, reverse=True)
    again = sorted((each for each in found if each.tried), key=lambda each: each.since)
    first, rest = new[: ROUND // 2], sorted(new[ROUND // 2 :], key=lambda each: each.since)
    chosen = (first + rest)[: ROUND - min(1, len(again))]
    return chosen + again[: ROUND - len(chosen)]


log = structlog.get_logger()

SHOWN = 5
"""Destinations that are named, those with the most messages."""


_at: sa.Column[datetime] = Message.__table__.c.next_attempt_at


@dataclass(frozen=True, slots=True)
class WaitingSummary:
    """Messages to one destination that failed for one reason and will be tried again.

    :ivar next_at: when the first of them will be
    """

    destination: str
    reason: str
    count: int
    next_at: datetime


def waiting_messages(most: int = SHOWN) -> list[WaitingSummary]:
    """Return what failed and will be tried again, by destination and reason, the largest groups first."""
    count = sa.func.count().label("count")
    statement = (
        sa.select(Message.destination, Message.last_error, count, sa.func.min(_at))
        .where(Message.state == WAITING, _at.is_not(None), Message.last_error != "")
        .group_by(Message.destination, Message.last_error)
        .order_by(count.desc())
        .limit(most)
    )
    return [WaitingSummary(*row) for row in db.session.execute(statement)]


def report_waiting() -> None:
    """Log what ``waiting_messages`` returns, a line for each."""
    for each in waiting_messages():
        again = max(0.0, (each.next_at - clock.now()).total_seconds())
        facts = {"destination": each.destination, "messages": each.count, "reason": each.reason}
        log.warning("outbox.messages_waiting", **facts, next_try_in=round(again, 1))


def oldest_due() -> datetime | None:
    """Return since when the longest waiting message has been due; None when none is late."""
    is_late = Message.next_attempt_at <= clock.now()
    return db.session.scalar(sa.select(sa.func.min(Message.next_attempt_at)).where(is_late))


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Messages of one channel that wait for one destination in one state.

    :ivar state: ``new``, ``sending``, or ``parked``: tried, or put off, and waiting for another try
    :ivar oldest: when the first of them was written
    :ivar due: since when the first of them has been due, or when it will be
    """

    channel: str
    destination: str
    state: str
    count: int
    oldest: datetime
    due: datetime


def queue_depths() -> list[QueueDepth]:
    """Return what waits or is being sent, in no order."""
    parked = sa.case((Message.state == SENDING, "sending"), (Message.last_error != "", "parked"), else_="new")
    what = (Message.channel, Message.destination, parked.label("kind"))
    figures = (sa.func.count(), sa.func.min(Message.created_at), sa.func.min(Message.next_attempt_at))
    waits = sa.select(*what, *figures).where(Message.next_attempt_at.is_not(None))
    return [QueueDepth(*row) for row in db.session.execute(waits.group_by(*what))]
