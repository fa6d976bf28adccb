"""Windows in memory: as cheap after a flood of addresses, bounded, and correct for earlier clients."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Iterator
from itertools import count, islice

import pytest
from limits import RateLimitItemPerSecond
from limits.strategies import MovingWindowRateLimiter

from app.throttling.counters import MAX_KEYS, SHARED_COUNTERS, Memory

WINDOW = 600
TURNS = 20
ITEM = RateLimitItemPerSecond(TURNS, WINDOW, namespace="starts")
OTHER = RateLimitItemPerSecond(1, WINDOW, namespace="denied")
FLOOD = 100_000


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The time that windows go by, as a list of one."""
    at = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: at[0])
    return at


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def limiter(memory) -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(memory)


@pytest.fixture
def strangers() -> Iterator[str]:
    """Addresses that were never seen."""
    return (f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64" for number in count())


def flood(limiter, addresses: Iterator[str], many: int, times: int = 1) -> int:
    """Take from the limit for that many addresses; return how many were rejected."""
    return sum(not limiter.hit(ITEM, address) for address in islice(addresses, many) for _ in range(times))


def test_hit_cost_is_independent_of_the_number_of_addresses(limiter, strangers):
    def cost(many: int = 2000) -> float:
        took = []
        for address in islice(strangers, many):
            began = time.thread_time()
            limiter.hit(ITEM, address)
            took.append(time.thread_time() - began)
        return sorted(took)[many // 2]

    before, threads = cost(), threading.active_count()
    flood(limiter, strangers, FLOOD)
    assert cost() < 3 * before
    assert threading.active_count() == threads


def test_memory_under_a_flood_is_bounded(limiter, strangers, monkeypatch):
    monkeypatch.setattr("app.throttling.counters.MAX_KEYS", keys := 4096)
    tracemalloc.start()
    try:
        flood(limiter, strangers, keys + 1)
        full = tracemalloc.get_traced_memory()[0]
        flood(limiter, strangers, keys * 5)
        assert tracemalloc.get_traced_memory()[0] - full < 10_000
    finally:
        tracemalloc.stop()
    assert full < keys * 400 + 2 * SHARED_COUNTERS


def test_flood_neither_resets_nor_blocks_other_addresses(limiter, strangers):
    used_up, halfway = "192.0.2.7", "192.0.2.8"
    assert [limiter.hit(ITEM, used_up) for _ in range(TURNS + 1)] == [True] * TURNS + [False]
    assert all(limiter.hit(ITEM, halfway) for _ in range(TURNS // 2))
    assert flood(limiter, strangers, FLOOD) == 0
    assert not limiter.hit(ITEM, used_up)
    assert [limiter.hit(ITEM, halfway) for _ in range(TURNS // 2 + 1)] == [True] * (TURNS // 2) + [False]
    newcomers = [f"198.51.{host >> 8}.{host & 255}" for host in range(1000)]
    assert sum(not limiter.test(ITEM, each) for each in newcomers) < 10


def test_new_address_is_counted_while_the_storage_is_full(limiter, strangers, now):
    flood(limiter, strangers, MAX_KEYS)
    now[0] += WINDOW - 10
    assert [limiter.hit(ITEM, "192.0.2.7") for _ in range(TURNS + 1)] == [True] * TURNS + [False]
    now[0] += 11
    flood(limiter, strangers, 100)  # there is space again, and earlier counts are kept
    assert [limiter.hit(ITEM, "192.0.2.7") for _ in range(TURNS)].count(True) <= 1


def test_flood_of_one_limit_does_not_affect_other_limits(limiter, strangers):
    flood(limiter, strangers, MAX_KEYS * 2)
    assert all(limiter.test(OTHER, each) for each in islice(strangers, 1000))


def test_expired_entries_are_removed(limiter, memory, strangers, now):
    flood(limiter, strangers, 1000)
    now[0] += WINDOW + 1
    flood(limiter, strangers, 500, times=2)
    assert memory.reset() == 500


def test_shared_counter_expires_with_its_window(limiter, strangers, now):
    flood(limiter, strangers, MAX_KEYS)
    while limiter.hit(ITEM, "192.0.2.7"):
        pass
    now[0] += 2 * WINDOW
    assert limiter.hit(ITEM, "192.0.2.7")


def test_window_slides(limiter, now):
    for _ in range(TURNS // 2):
        limiter.hit(ITEM, "192.0.2.7")
    now[0] += WINDOW / 2
    while limiter.hit(ITEM, "192.0.2.7"):
        pass
    assert limiter.get_window_stats(ITEM, "192.0.2.7") == (now[0] + WINDOW / 2, 0)
    now[0] += WINDOW / 2
    assert [limiter.hit(ITEM, "192.0.2.7") for _ in range(TURNS // 2 + 1)] == [True] * (TURNS // 2) + [False]


def test_clearing_affects_only_one_key(limiter):
    for each in ("192.0.2.7", "192.0.2.8"):
        while limiter.hit(ITEM, each):
            pass
    limiter.clear(ITEM, "192.0.2.7")
    assert (limiter.test(ITEM, "192.0.2.7"), limiter.test(ITEM, "192.0.2.8")) == (True, False)


def test_threads_share_a_window(limiter):
    taken: list[bool] = []
    threads = [
        threading.Thread(target=lambda: taken.extend(limiter.hit(ITEM, "192.0.2.7") for _ in range(TURNS)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken.count(True) == TURNS
