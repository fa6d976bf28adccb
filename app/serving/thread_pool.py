"""The threads of a web process that run the application, and the queue in front of them.

Threads of one interpreter share the GIL, and a thread returning from disk I/O has to wait for it again while it holds
SQLite's write lock. So with SQLite it is faster to run one request at a time, as long as each is quick. A pool starts
with its usual number of threads, and adds more, one at a time, while requests linger because they wait for a lock or an
unavailable database.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")

WAIT_LIMIT: Final = 5.0
"""Seconds a request waits for a thread before it is rejected."""

STALL_LIMIT: Final = 1.0
"""Seconds without any completed request after which waiting ones are rejected: what they all need is unavailable."""

SLOW_CALL: Final = 0.02
"""Seconds after which a request isn't expected to finish soon. A sign-in takes a few milliseconds."""


class Busy(Exception):
    """No thread became free in time."""


class CallFailed(Exception):
    """A call raised what an event loop can't propagate: SystemExit would end the loop, StopIteration would get lost."""


class _Call:
    """A call waiting for a thread. Acquiring ``claim`` gives the right to settle it: with a result, or with Busy."""

    __slots__ = ("claim", "future", "queued_at", "work")

    def __init__(self, work: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.queued_at = time.monotonic()
        self.claim = Lock()


class ThreadPool:
    """``size`` threads, and up to ``max_size`` while calls linger. First come, first served.

    Calls come from one event loop, which only queues them. A thread that finishes takes the next call from the queue
    without waiting for the loop, which would be the most expensive part of a handover.
    """

    def __init__(self, size: int, max_size: int) -> None:
        self.size = min(size, max_size)
        self.max_size = max_size
        self._queue: SimpleQueue[_Call] = SimpleQueue()
        self._waiting: deque[_Call] = deque()
        """Calls that may still be in the queue, for the watch."""
        self._lock = Lock()
        self._threads = 0
        self._done = 0
        """Number of completed calls. Incremented without a lock, since the watch only checks whether it changed."""
        self._last_done = 0
        self._stalled_seconds = 0.0
        """Seconds without a change of ``_done``, counted per watch, so a delayed event loop doesn't inflate them."""
        self._is_watching = False
        self._short_of_threads = False
        for _ in range(self.size):
            self._start_thread()

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in one of the threads and return its result.

        :raises Busy: when no thread became free in time
        :raises CallFailed: when ``work`` raised what an event loop can't propagate
        """
        loop = asyncio.get_running_loop()
        call = _Call(work, loop.create_future())
        self._waiting.append(call)
        self._queue.put(call)
        if not self._is_watching:
            self._is_watching = True
            loop.call_later(SLOW_CALL, self._watch, loop)
        result: T = await call.future
        return result

    def _start_thread(self) -> None:
        with self._lock:
            Thread(target=self._run_calls, name="request", daemon=True).start()
            self._threads += 1

    def _add_thread(self) -> bool:
        """Start another thread unless there are ``max_size``; return whether it started. The OS may refuse, too."""
        if self._threads >= self.max_size:
            return False
        try:
            self._start_thread()
        except RuntimeError:
            if not self._short_of_threads:
                log.warning("server.no_thread", threads=self._threads, most=self.max_size)
            self._short_of_threads = True
            return False
        self._short_of_threads = False
        return True

    def _run_calls(self) -> None:
        """Run calls. After a call that lingered, the thread ends if there are more than ``size``."""
        while True:
            call = self._queue.get()
            if not call.claim.acquire(blocking=False) or call.future.cancelled():
                continue
            began = time.monotonic()
            try:
                resolution: tuple[Any, Any] = (asyncio.Future.set_result, call.work())
            except BaseException as error:  # hand any exception to the caller
                resolution = (asyncio.Future.set_exception, _propagatable(error))
            self._done += 1
            with suppress(RuntimeError):  # the loop is closed: the process is stopping
                call.future.get_loop().call_soon_threadsafe(_resolve, call.future, *resolution)
            del call, resolution  # don't keep the last call alive while waiting for the next
            if time.monotonic() - began >= SLOW_CALL and self._should_exit():
                return

    def _should_exit(self) -> bool:
        """Return whether this thread should end because there are more than ``size``; if so, stop counting it."""
        with self._lock:
            extra = self._threads > self.size
            self._threads -= extra
            return extra

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start a thread if calls are waiting behind lingering ones, and reject calls that have waited too long."""
        while self._waiting and self._waiting[0].claim.locked():
            self._waiting.popleft()
        if self._done != self._last_done or not self._waiting:
            self._last_done, self._stalled_seconds = self._done, 0.0
        else:
            self._stalled_seconds += SLOW_CALL
        if (
            self._stalled_seconds >= 2 * SLOW_CALL and self._add_thread()
        ):  # the first watch may come right after a change
            self._stalled_seconds = 0.0
        elif self._stalled_seconds >= STALL_LIMIT:
            self._reject_oldest(len(self._waiting))
        now = time.monotonic()
        self._reject_oldest(sum(now - call.queued_at >= WAIT_LIMIT for call in self._waiting))
        self._is_watching = bool(self._waiting)
        if self._is_watching:
            loop.call_later(SLOW_CALL, self._watch, loop)

    def _reject_oldest(self, count: int) -> None:
        """Fail the oldest calls with Busy, unless a thread has already claimed them."""
        for _ in range(count):
            call = self._waiting.popleft()
            if call.claim.acquire(blocking=False):
                _resolve(call.future, asyncio.Future.set_exception, Busy())


def _propagatable(error: BaseException) -> Exception:
    """Return ``error``, or CallFailed caused by it if an event loop can't propagate it."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    failure = CallFailed(repr(error))
    failure.__cause__ = error
    return failure


def _resolve(future: asyncio.Future[Any], setter: Callable[[asyncio.Future[Any], Any], None], value: Any) -> None:
    """Settle a call unless its caller has gone away."""
    if not future.done():
        setter(future, value)
