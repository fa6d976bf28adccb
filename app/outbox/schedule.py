"""Scheduling: which messages a worker sends next, and which are waiting for a retry.

Workers keep no queue in memory; due rows stay in the table until claimed. Webhook events are scheduled the same way,
from their own table.
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
from app.outbox.leases import Due
from app.outbox.models import SENDING, WAITING, Message

POLL_INTERVAL = 1.0
"""Seconds between polls of the table without a wake-up."""

MIN_POLL_INTERVAL = 0.1
"""Minimum seconds between polls when the last one left nothing due, so that messages can accumulate into a batch.
A batch of sixteen takes as many statements as a single message."""

ROUND_SIZE = 8
"""Destinations that get one batch each between two polls of the table."""

MAX_BATCH = 16
TARGET_BATCH_TIME = 0.5
"""Target upper bound for a batch in seconds, estimated from the destination's last batch."""

SLOW_THRESHOLD = 2.0
"""Seconds per message from which a destination counts as slow."""

MAX_TRACKED_DESTINATIONS = 4096
"""Destinations for which the time per message is remembered."""

MAX_CONCURRENT_BATCHES = 4
"""Maximum concurrent batches for a fast destination. Mail servers limit connections per client."""


Row = TypeVar("Row")


class Queue(Protocol[Row]):
    """The table being scheduled: for messages, the module ``leases``.

    Both functions need an app context, and let database errors propagate.
    """

    def due(self) -> list[Due]:
        """Return the destinations with due rows."""

    def claim_from(self, which: Due, most: int, *, newest: bool = False) -> list[Row]:
        """Claim up to ``most`` of these rows for this worker."""


class Schedule(Generic[Row]):
    """Hands batches to the threads of one worker process, rotating between destinations so that none takes all threads.

    A slow or unknown destination gets one thread, and all of these together leave at least one thread for fast ones.
    Within a destination, new messages come before retries. Batches alternate between the newest messages, which
    someone is waiting for right now, and the oldest ones. This way new codes go out immediately after an outage,
    and no message starves under overload.
    """

    def __init__(self, threads: int, poll_interval: float, queue: Queue[Row]) -> None:
        self.threads = threads
        self.poll_interval = poll_interval
        self._queue = queue
        self._poll_lock = threading.Lock()
        self._woken = threading.Event()
        self._round: deque[Due] = deque()
        self._more_due = True
        self._closed = False
        self._newest = False
        self._polled_at = float("-inf")
        self._skipped: set[str] = set()
        self._in_progress: Counter[str] = Counter()
        self._seconds_per_message: OrderedDict[str, float] = OrderedDict()
        self._state_lock = threading.Lock()

    def wake(self) -> None:
        """Have a thread poll the table soon."""
        self._woken.set()

    def close(self) -> None:
        """Hand out no more batches, and wake all waiting threads."""
        self._closed = True
        self._woken.set()

    def claim_batch(self, timeout: float) -> tuple[str, list[Row]] | None:
        """Claim a batch and return its destination and messages; None if nothing was due for ``timeout`` seconds.

        Needs an app context. The caller must call ``done`` afterwards. Database errors propagate.
        """
        until = time.monotonic() + timeout
        if not self._poll_lock.acquire(timeout=timeout):
            return None
        try:
            while not self._closed and (self._round or self._poll(until)):
                while self._round and not self._closed:
                    if batch := self._claim_from(self._round.popleft()):
                        return batch
            return None
        finally:
            self._poll_lock.release()

    def done(self, destination: str, seconds: float) -> None:
        """Record that a batch has finished, and how many seconds each of its messages took on average."""
        with self._state_lock:
            self._in_progress[destination] -= 1
            if self._in_progress[destination] <= 0:
                del self._in_progress[destination]
            self._seconds_per_message[destination] = seconds
            self._seconds_per_message.move_to_end(destination)
            while len(self._seconds_per_message) > MAX_TRACKED_DESTINATIONS:
                self._seconds_per_message.popitem(last=False)
            has_skipped = bool(self._skipped)
        if has_skipped:
            self.wake()

    def _poll(self, until: float) -> bool:
        """Poll the table for the next round, immediately if the last poll left rows due; return False if too early."""
        if not self._more_due:
            now, poll_at = time.monotonic(), self._polled_at + self.poll_interval
            if now >= until:
                return False
            if not self._woken.wait(max(0.0, min(until, poll_at) - now)) and time.monotonic() < poll_at:
                return False
            if self._closed:
                return False
            time.sleep(max(0.0, self._polled_at + MIN_POLL_INTERVAL - time.monotonic()))
        self._woken.clear()
        self._polled_at = time.monotonic()
        with self._state_lock:
            self._skipped.clear()
        due_destinations = [each for each in self._queue.due() if self._may_claim(each.destination)]
        self._round.extend(next_round(due_destinations))
        self._more_due = len(self._round) < len(due_destinations)
        return True

    def _claim_from(self, which: Due) -> tuple[str, list[Row]] | None:
        if not self._may_claim(which.destination):
            return None
        self._newest = not self._newest
        most = self._batch_size(which.destination)
        messages = self._queue.claim_from(which, most, newest=self._newest)
        if not messages:  # another worker claimed them first
            return None
        self._more_due = self._more_due or len(messages) == most
        with self._state_lock:
            self._in_progress[which.destination] += 1
        return which.destination, messages

    def _may_claim(self, destination: str) -> bool:
        with self._state_lock:
            most = 1 if self._may_be_slow(destination) else min(MAX_CONCURRENT_BATCHES, max(1, self.threads - 1))
            may = self._in_progress[destination] < most
            if may and self._may_be_slow(destination):
                busy = sum(count for each, count in self._in_progress.items() if self._may_be_slow(each))
                may = busy < max(1, self.threads - 1)
            if not may:
                self._skipped.add(destination)
            return may

    def _may_be_slow(self, destination: str) -> bool:
        return self._seconds_per_message.get(destination, SLOW_THRESHOLD) >= SLOW_THRESHOLD

    def _batch_size(self, destination: str) -> int:
        seconds = self._seconds_per_message.get(destination, SLOW_THRESHOLD)
        return max(1, min(MAX_BATCH, int(TARGET_BATCH_TIME / seconds))) if seconds > 0 else MAX_BATCH


def next_round(due_destinations: Sequence[Due]) -> list[Due]:
    """Return the destinations of the next round, in order.

    Destinations with new messages come first: those with the newest, which someone is waiting for right now, and those
    that have waited longest, so that none starves. Retries follow, with at least one slot in every round.
    """
    new = sorted((each for each in due_destinations if not each.tried), key=lambda each: each.newest, reverse=True)
    retries = sorted((each for each in due_destinations if each.tried), key=lambda each: each.since)
    first, rest = new[: ROUND_SIZE // 2], sorted(new[ROUND_SIZE // 2 :], key=lambda each: each.since)
    chosen = (first + rest)[: ROUND_SIZE - min(1, len(retries))]
    return chosen + retries[: ROUND_SIZE - len(chosen)]


log = structlog.get_logger()

MAX_REPORTED_GROUPS = 5
"""Number of groups to report, largest first."""


_at: sa.Column[datetime] = Message.__table__.c.next_attempt_at


@dataclass(frozen=True, slots=True)
class WaitingSummary:
    """Messages to one destination that failed for the same reason and are waiting for a retry.

    :ivar next_at: time of the earliest retry
    """

    destination: str
    reason: str
    count: int
    next_at: datetime


def waiting_messages(most: int = MAX_REPORTED_GROUPS) -> list[WaitingSummary]:
    """Return messages waiting for a retry, grouped by destination and reason, largest groups first."""
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
    """Log the result of ``waiting_messages``, one line per group."""
    for each in waiting_messages():
        seconds = max(0.0, (each.next_at - clock.now()).total_seconds())
        facts = {"destination": each.destination, "messages": each.count, "reason": each.reason}
        log.warning("outbox.messages_waiting", **facts, next_try_in=round(seconds, 1))


def oldest_due() -> datetime | None:
    """Return the time at which the longest overdue message became due; None if nothing is due."""
    is_late = Message.next_attempt_at <= clock.now()
    return db.session.scalar(sa.select(sa.func.min(Message.next_attempt_at)).where(is_late))


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Number of unsettled messages for one channel, destination and state.

    :ivar state: ``new``, ``sending``, or ``parked`` (tried or postponed, and waiting for a retry)
    :ivar oldest: when the oldest of them was created
    :ivar due: earliest due time among them, past or future
    """

    channel: str
    destination: str
    state: str
    count: int
    oldest: datetime
    due: datetime


def queue_depths() -> list[QueueDepth]:
    """Return the number of waiting and sending messages, in no particular order."""
    state = sa.case((Message.state == SENDING, "sending"), (Message.last_error != "", "parked"), else_="new")
    what = (Message.channel, Message.destination, state.label("kind"))
    figures = (sa.func.count(), sa.func.min(Message.created_at), sa.func.min(Message.next_attempt_at))
    waits = sa.select(*what, *figures).where(Message.next_attempt_at.is_not(None))
    return [QueueDepth(*row) for row in db.session.execute(waits.group_by(*what))]
