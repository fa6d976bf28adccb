"""The threads of a web process that run the application, and the queue in front of them.

Threads of one interpreter take turns at it, and one that comes back from the disk waits for its turn again while it
holds SQLite's write lock. One request after the other is faster there, as long as each is quick. So a pool has its
usual number of threads, and starts more, one at a time, while requests linger: wait for a lock, or for a database
that is away.
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
"""Seconds a request waits for a thread before it is turned away."""

STALLED: Final = 1.0
"""Seconds without any request coming back after which none waits: what all of them wait for is away."""

LINGERS: Final = 0.02
"""Seconds after which a request is not counted on to be done in a moment. A sign-in takes a few milliseconds."""


class Busy(Exception):
    """No thread was free in time."""


class Broken(Exception):
    """A call ended in what an event loop can't hand on: SystemExit would end the loop, StopIteration gets lost."""


class _Call:
    """One call that waits for a thread. Who takes ``claim`` settles it: a thread by its result, the watch by Busy."""

    __slots__ = ("answer", "came", "claim", "work")

    def __init__(self, work: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        self.work = work
        self.answer = answer
        self.came = time.monotonic()
        self.claim = Lock()


class ThreadPool:
    """``size`` threads, and up to ``max_size`` while calls linger. First come, first served.

    Calls come from one event loop. It only puts them in the queue: a thread that is done takes the next one without
    waiting for the loop, which is what a hand-over costs most.
    """

    def __init__(self, size: int, max_size: int) -> None:
        self.size = min(size, max_size)
        self.max_size = max_size
        self._queue: SimpleQueue[_Call] = SimpleQueue()
        self._waiting: deque[_Call] = deque()
        """Calls that may be in the queue still, for the watch."""
        self._lock = Lock()
        self._threads = 0
        self._done = 0
        """Calls that came back; raised by threads without a lock, as the watch asks only whether it has changed."""
        self._seen = 0
        self._still = 0.0
        """Seconds without a change of it, as the watch saw them: a late loop does not count those it slept."""
        self._watched = False
        self._short_of_threads = False
        for _ in range(self.size):
            self._start_thread()

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns in one of the threads.

        :raises Busy: when none was free in time
        :raises Broken: when ``work`` raised what no event loop can hand on
        """
        loop = asyncio.get_running_loop()
        call = _Call(work, loop.create_future())
        self._waiting.append(call)
        self._queue.put(call)
        if not self._watched:
            self._watched = True
            loop.call_later(LINGERS, self._watch, loop)
        result: T = await call.answer
        return result

    def _start_thread(self) -> None:
        with self._lock:
            Thread(target=self._serve, name="request", daemon=True).start()
            self._threads += 1

    def _grow(self) -> bool:
        """Start one more thread if there may be one, and say whether it was; the system may have none to give."""
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

    def _serve(self) -> None:
        """Run calls. A thread whose call lingered ends when there are more than the usual number."""
        while True:
            call = self._queue.get()
            if not call.claim.acquire(blocking=False) or call.answer.cancelled():
                continue
            began = time.monotonic()
            try:
                settle: tuple[Any, Any] = (asyncio.Future.set_result, call.work())
            except BaseException as error:  # whatever it is, it belongs to who called
                settle = (asyncio.Future.set_exception, _for_the_loop(error))
            self._done += 1
            with suppress(RuntimeError):  # the loop is closed: the process has stopped meanwhile
                call.answer.get_loop().call_soon_threadsafe(_settle, call.answer, *settle)
            del call, settle  # a thread that waits for the next call holds on to nothing of the last
            if time.monotonic() - began >= LINGERS and self._closes():
                return

    def _closes(self) -> bool:
        """Say whether this thread is one more than usual, and no longer count it if so."""
        with self._lock:
            extra = self._threads > self.size
            self._threads -= extra
            return extra

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start a thread for calls that wait behind others that linger, and turn away those that wait in vain."""
        while self._waiting and self._waiting[0].claim.locked():
            self._waiting.popleft()
        if self._done != self._seen or not self._waiting:
            self._seen, self._still = self._done, 0.0
        else:
            self._still += LINGERS
        if self._still >= 2 * LINGERS and self._grow():  # the first look may come right after a change
            self._still = 0.0
        elif self._still >= STALLED:
            self._turn_away(len(self._waiting))
        now = time.monotonic()
        self._turn_away(sum(now - call.came >= WAIT_LIMIT for call in self._waiting))
        self._watched = bool(self._waiting)
        if self._watched:
            loop.call_later(LINGERS, self._watch, loop)

    def _turn_away(self, count: int) -> None:
        """Answer the calls that came first with Busy, unless a thread has them already."""
        for _ in range(count):
            call = self._waiting.popleft()
            if call.claim.acquire(blocking=False):
                _settle(call.answer, asyncio.Future.set_exception, Busy())


def _for_the_loop(error: BaseException) -> Exception:
    """Return ``error``, or Broken from it when an event loop can't hand it on."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    broken = Broken(repr(error))
    broken.__cause__ = error
    return broken


def _settle(answer: asyncio.Future[Any], how: Callable[[asyncio.Future[Any], Any], None], what: Any) -> None:
    """Settle a call, unless who made it is gone."""
    if not answer.done():
        how(answer, what)
