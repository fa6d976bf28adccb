"""The queue of a process for SQLite's write lock."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from sqlalchemy import exc

from app.db import sqlite
from app.db.sqlite import BACKGROUND_LOCK_WAIT, MAX_WAITING, STUCK_AFTER, WriteQueue

LIMIT = 3.0


@pytest.fixture
def started():
    """Starts a function in a thread; all have ended when the test has."""
    threads: list[threading.Thread] = []

    def start(function) -> threading.Thread:
        threads.append(threading.Thread(target=function, daemon=True))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(2 * LIMIT)


def outcome_of(take) -> object:
    """Take a turn and release it; return the time left for the lock, or the error."""
    try:
        left = take()
    except exc.TimeoutError as error:
        return error
    return left


def test_background_writer_does_not_take_a_requests_place(started):
    queue, ends = WriteQueue(LIMIT), []
    queue.acquire()

    def request() -> None:
        ends.append(outcome_of(queue.acquire))
        queue.release()

    started(lambda: (queue.acquire_in_background(), queue.release()))
    time.sleep(0.1)
    for _ in range(MAX_WAITING):
        started(request)
    time.sleep(STUCK_AFTER + 0.6)  # by then, those too far back have been rejected
    assert ends == []
    queue.release()
    deadline = time.monotonic() + LIMIT
    while len(ends) < MAX_WAITING and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [isinstance(end, float) for end in ends] == [True] * MAX_WAITING


def test_background_writer_waits_briefly_for_the_lock():
    assert WriteQueue(LIMIT).acquire_in_background() == BACKGROUND_LOCK_WAIT


def test_background_writer_times_out_after_the_limit():
    queue = WriteQueue(0.1)
    queue.acquire()
    with pytest.raises(exc.TimeoutError):
        queue.acquire_in_background()


def test_writer_is_rejected_at_once_by_a_stuck_queue(started):
    queue = WriteQueue(LIMIT)
    queue.acquire()
    for _ in range(MAX_WAITING):
        started(lambda: outcome_of(queue.acquire))
    time.sleep(STUCK_AFTER + 0.1)
    began = time.monotonic()
    with pytest.raises(exc.TimeoutError):
        queue.acquire()
    assert time.monotonic() - began < 0.1


def test_writers_wait_for_a_turn_that_just_began_after_an_idle_period(started, monkeypatch):
    """A busy machine may stop a thread between getting its turn and noting when: that is no stuck queue."""
    got_turn, may_go_on, first, calls, ends = threading.Event(), threading.Event(), [], [], []

    def monotonic() -> float:
        if threading.current_thread() in first:
            calls.append(None)
            if len(calls) == 2:  # it has its turn, and asks when that began
                got_turn.set()
                may_go_on.wait(LIMIT)
        return time.monotonic()

    def request() -> None:
        ends.append(outcome_of(queue.acquire))
        if isinstance(ends[-1], float):
            queue.release()

    queue = WriteQueue(LIMIT)
    queue.acquire()
    queue.release()
    time.sleep(STUCK_AFTER + 0.1)
    monkeypatch.setattr(sqlite, "time", SimpleNamespace(monotonic=monotonic))
    first.append(threading.Thread(target=request, daemon=True))
    first[0].start()
    assert got_turn.wait(LIMIT)
    others = [started(request) for _ in range(MAX_WAITING + 3)]
    time.sleep(0.1)
    assert ends == []
    may_go_on.set()
    for thread in (*first, *others):
        thread.join(LIMIT)
    assert [isinstance(end, float) for end in ends] == [True] * (MAX_WAITING + 4)
