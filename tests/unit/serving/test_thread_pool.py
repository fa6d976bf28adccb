"""The threads of a web process: how long requests wait for one, and in which order."""

from __future__ import annotations

import asyncio
import time
from threading import Event, Lock, Thread

import pytest

from app.serving import thread_pool
from app.serving.thread_pool import Busy, CallFailed, ThreadPool
from tests.event_loops import run_coroutine


class Inside:
    """Counts the calls that are run at the same time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._now = 0
        self.most = 0
        self.all = 0

    def __call__(self, seconds: float) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.all += 1
        time.sleep(seconds)
        with self._lock:
            self._now -= 1


async def outcome(threads: ThreadPool, seconds: float) -> tuple[str, float]:
    """Make a call that takes this long; return how it ended, and after how many seconds."""
    began = time.monotonic()
    try:
        await threads.run(lambda: time.sleep(seconds))
    except Busy:
        return "busy", time.monotonic() - began
    return "done", time.monotonic() - began


def test_call_returns_or_raises_the_result_of_its_work():
    async def scene() -> None:
        threads = ThreadPool(1, 1)
        assert await threads.run(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)
        assert await threads.run(lambda: 8) == 8, "the thread goes on"

    run_coroutine(scene())


def test_extra_threads_for_slow_calls_end_afterwards():
    async def scene() -> None:
        threads = ThreadPool(1, 3)
        await asyncio.gather(*(threads.run(lambda: time.sleep(0.15)) for _ in range(3)))
        inside = Inside()
        await asyncio.gather(*(threads.run(lambda: inside(0.001)) for _ in range(20)))
        assert inside.most == 1

    run_coroutine(scene())


def test_calls_run_in_order_of_arrival():
    order: list[int] = []

    async def scene() -> None:
        threads, open_ = ThreadPool(1, 1), Event()
        calls = [asyncio.create_task(threads.run(lambda: open_.wait(5)))]
        for number in range(6):
            calls.append(asyncio.create_task(threads.run(lambda number=number: order.append(number))))
        await asyncio.sleep(0.01)
        open_.set()
        await asyncio.gather(*calls)

    run_coroutine(scene())
    assert order == [0, 1, 2, 3, 4, 5]


def test_thread_count_stays_within_the_limit_under_load(monkeypatch):
    monkeypatch.setattr(thread_pool, "SLOW_CALL", 0.001)
    inside = Inside()

    async def come(threads: ThreadPool) -> None:
        for number in range(100):
            await threads.run(lambda number=number: inside(0.02 if number % 10 == 0 else 0))

    async def scene() -> None:
        threads = ThreadPool(1, 3)
        await asyncio.gather(*(come(threads) for _ in range(8)))

    run_coroutine(scene())
    assert (inside.most, inside.all) == (3, 800)


def test_cancelled_call_does_not_affect_the_others():
    complaints: list[object] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        threads, open_ = ThreadPool(1, 1), Event()
        held = asyncio.create_task(threads.run(lambda: open_.wait(5)))
        gone, next_one = (asyncio.create_task(threads.run(lambda: 1)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        open_.set()
        assert await asyncio.wait_for(next_one, 1) == 1
        assert await held

    run_coroutine(scene())
    assert complaints == []


def test_long_but_moving_queue_is_not_stalled(monkeypatch):
    monkeypatch.setattr(thread_pool, "STALL_LIMIT", 0.1)

    async def scene() -> list[tuple[str, float]]:
        threads = ThreadPool(1, 1)
        return await asyncio.gather(*(outcome(threads, 0.01) for _ in range(40)))

    assert {how for how, _ in run_coroutine(scene())} == {"done"}


def test_calls_wait_at_most_the_limit(monkeypatch):
    monkeypatch.setattr(thread_pool, "WAIT_LIMIT", 0.1)

    async def scene() -> list[tuple[str, float]]:
        threads = ThreadPool(1, 1)
        return await asyncio.gather(*(outcome(threads, 0.02) for _ in range(30)))

    waited = [seconds for how, seconds in run_coroutine(scene()) if how == "busy"]
    assert len(waited) > 15
    assert 0.1 <= min(waited) <= max(waited) < 0.3


def test_rejected_call_is_not_run_later(monkeypatch):
    monkeypatch.setattr(thread_pool, "STALL_LIMIT", 0.06)
    ran: list[int] = []

    async def scene() -> None:
        threads, open_ = ThreadPool(1, 1), Event()
        held = asyncio.create_task(threads.run(lambda: open_.wait(5)))
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await threads.run(lambda: ran.append(1))
        open_.set()
        await held
        await threads.run(lambda: ran.append(2))

    run_coroutine(scene())
    assert ran == [2]


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration()], ids=repr)
def test_exit_exceptions_end_only_the_call_and_not_the_event_loop(ending):
    def end() -> None:
        raise ending

    async def scene() -> None:
        threads = ThreadPool(1, 1)
        with pytest.raises(CallFailed) as raised:
            await asyncio.wait_for(threads.run(end), 2)
        assert raised.value.__cause__ is ending
        assert await asyncio.wait_for(threads.run(lambda: 7), 2) == 7

    run_coroutine(scene())


def test_failure_to_start_a_thread_makes_calls_wait_with_a_limit(monkeypatch):
    monkeypatch.setattr(thread_pool, "STALL_LIMIT", 0.2)

    def refused(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scene() -> None:
        threads, open_ = ThreadPool(1, 2), Event()
        monkeypatch.setattr(Thread, "start", refused)
        held = asyncio.create_task(threads.run(lambda: open_.wait(5)))
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await asyncio.wait_for(threads.run(lambda: 1), 2)
        monkeypatch.undo()
        assert await asyncio.wait_for(threads.run(lambda: 2), 1) == 2, "a thread is started once there is one again"
        open_.set()
        await held

    run_coroutine(scene())


def test_call_cancelled_before_its_turn_is_not_run():
    ran: list[int] = []

    async def scene() -> None:
        threads, open_ = ThreadPool(1, 1), Event()
        held = asyncio.create_task(threads.run(lambda: open_.wait(5)))
        gone = asyncio.create_task(threads.run(lambda: ran.append(1)))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        open_.set()
        await held
        await threads.run(lambda: ran.append(2))

    run_coroutine(scene())
    assert ran == [2]
