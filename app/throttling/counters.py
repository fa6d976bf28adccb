"""Sliding-window counters for rate limits: in Redis, shared by all replicas, or in this process if it is unavailable.

In the process, the cost is bounded however many addresses were ever seen (ADR 33). Each limit has a table of up to
MAX_KEYS recently counted keys, oldest first, which drops keys whose window is over. While the table is full, as in a
flood of spoofed addresses, keys in the table are still counted exactly, and all others share SHARED_COUNTERS counters
by hash. So no key goes uncounted, and few collide with a counter that others have used up.
"""

from __future__ import annotations

import time
from array import array
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final, TypeVar

import structlog
from limits import RateLimitItem
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter

from app import metrics

log = structlog.get_logger()

DEADLINE = 0.2
"""Timeout for Redis in seconds."""

RETRY_DELAY = 10.0
"""Seconds to wait before using Redis again after a failure. Meanwhile this process counts locally."""

T = TypeVar("T")

MAX_KEYS: Final = 32_768
"""Keys of one limit that are counted exactly. They take about 16 MB if each has 20 hits."""

SHARED_COUNTERS: Final = 1 << 20
"""Shared counters for all other keys: 2 MB for the current window, and 2 MB for the previous one."""

MAX_SHARED_COUNT: Final = 65_535
"""Maximum value of a shared counter."""

MAX_DROPPED_PER_HIT: Final = 2
"""Maximum expired keys that each hit drops, one more than it adds."""


class Counters:
    """Sliding windows. Limits never fail open: without Redis, each process enforces its share of them locally.

    :param replicas: number of processes between which limits are divided while Redis is unavailable
    """

    def __init__(self, redis_url: str, replicas: int = 1) -> None:
        self.local = MovingWindowRateLimiter(Memory())
        self._shared = None
        self._share = replicas if redis_url else 1
        self._redis_retry_at = 0.0
        self._retry_lock = Lock()
        if redis_url:
            self._shared = MovingWindowRateLimiter(_redis(redis_url))

    def hit(self, item: RateLimitItem, *key: str) -> bool:
        """Count a hit against ``item``; return False if the limit is reached."""
        return self._run(lambda limiter, item: limiter.hit(item, *key), item)

    def test(self, item: RateLimitItem, *key: str) -> bool:
        """Return whether ``item`` allows another hit, without counting one."""
        return self._run(lambda limiter, item: limiter.test(item, *key), item)

    def full_until(self, item: RateLimitItem, *key: str) -> float:
        """Return the Unix time at which another hit is allowed."""
        return self._run(lambda limiter, item: limiter.get_window_stats(item, *key).reset_time, item)

    def _run(self, operation: Callable[[MovingWindowRateLimiter, RateLimitItem], T], item: RateLimitItem) -> T:
        if self._shared is not None and time.monotonic() >= self._redis_retry_at:
            began = time.perf_counter()
            try:
                return operation(self._shared, item)
            except Exception as error:  # the Redis client raises many types
                metrics.REDIS_FAILURES.count()
                self._pause_redis(error)
            finally:
                metrics.REDIS.observe(time.perf_counter() - began)
        return operation(self.local, self._divided(item))

    def _pause_redis(self, error: Exception) -> None:
        """Stop using Redis for a while, and log it once for all threads."""
        now = time.monotonic()
        with self._retry_lock:
            first, self._redis_retry_at = now >= self._redis_retry_at, max(self._redis_retry_at, now + RETRY_DELAY)
        if first:
            log.warning("limits.redis_away", error=type(error).__name__, seconds=RETRY_DELAY)

    def _divided(self, item: RateLimitItem) -> RateLimitItem:
        if self._share == 1:
            return item
        return type(item)(max(1, item.amount // self._share), item.multiples, item.namespace)


def _redis(url: str) -> Storage:
    """Return a Redis storage for ``limits``, without retries. Loaded here only, because the client takes 9 MB."""
    # Import it completely first: the storage takes ``redis`` from sys.modules while another thread may be importing it.
    import redis  # noqa: F401
    from limits.storage import RedisStorage
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    no_retry = Retry(NoBackoff(), 0)
    deadlines = {"socket_timeout": DEADLINE, "socket_connect_timeout": DEADLINE, "retry": no_retry}
    return RedisStorage(url, **deadlines)  # type: ignore[arg-type]


class Table:
    """The windows of one limit, each ``seconds`` long. Callers must hold a lock."""

    __slots__ = ("_current", "_keys", "_previous", "_seconds", "_window_number")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._keys: OrderedDict[str, array[float]] = OrderedDict()
        self._window_number = 0
        self._current: array[int] | None = None
        self._previous: array[int] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def times(self, key: str, now: float) -> array[float] | None:
        """Return the times of ``key``'s hits within the window, oldest first; None if it isn't counted exactly."""
        times = self._keys.get(key)
        if times is not None:
            end, expired = now - self._seconds, 0
            while expired < len(times) and times[expired] <= end:
                expired += 1
            del times[:expired]
        return times

    def add(self, key: str, now: float, amount: int) -> None:
        """Count ``amount`` hits of ``key``."""
        times = self._keys.get(key)
        if times is not None:
            self._keys.move_to_end(key)
        elif len(self._keys) < MAX_KEYS:
            times = self._keys[key] = array("d", [now]) * self.shared_count(key, now)
        else:
            self._share(key, now, amount)
            return
        times.extend([now] * amount)

    def drop_expired(self, now: float) -> None:
        """Drop a few expired keys."""
        for _ in range(min(MAX_DROPPED_PER_HIT, len(self._keys))):
            key = next(iter(self._keys))
            times = self._keys[key]
            if times and times[-1] > now - self._seconds:
                return
            del self._keys[key]

    def remove(self, key: str) -> None:
        """Drop ``key`` if it is counted exactly."""
        self._keys.pop(key, None)

    def shared_count(self, key: str, now: float) -> int:
        """Return the approximate hits within the window of ``key`` and the keys that share its counter."""
        self._advance(now)
        cell, fraction = hash(key) % SHARED_COUNTERS, now / self._seconds % 1
        found = self._current[cell] if self._current else 0
        return found + int(self._previous[cell] * (1 - fraction)) if self._previous else found

    def _share(self, key: str, now: float, amount: int) -> None:
        self._advance(now)
        if self._current is None:
            self._current = array("H", bytes(2 * SHARED_COUNTERS))
        cell = hash(key) % SHARED_COUNTERS
        self._current[cell] = min(MAX_SHARED_COUNT, self._current[cell] + amount)

    def _advance(self, now: float) -> None:
        """Start a new window of the shared counters if the current one is over."""
        number = int(now // self._seconds)
        if number != self._window_number:
            self._previous = self._current if number == self._window_number + 1 else None
            self._window_number, self._current = number, None


class Memory(Storage, MovingWindowSupport):
    """In-memory storage for the ``limits`` library. A key's namespace, up to the first slash, identifies its limit."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._tables: dict[tuple[str, int], Table] = {}
        self._lock = Lock()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count ``amount`` hits of ``key``; return False, without counting, if that would exceed ``limit``."""
        now = time.time()
        with self._lock:
            table = self._table(key, expiry)
            table.drop_expired(now)
            times = table.times(key, now)
            if (table.shared_count(key, now) if times is None else len(times)) + amount > limit:
                return False
            table.add(key, now, amount)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return the start of ``key``'s window (Unix time) and its number of hits."""
        now = time.time()
        with self._lock:
            table = self._table(key, expiry)
            times = table.times(key, now)
            if times is None:
                return now, table.shared_count(key, now)
            return (times[0] if times else now), len(times)

    def clear(self, key: str) -> None:
        """Drop ``key`` if it is counted exactly."""
        with self._lock:
            for table in self._tables.values():
                table.remove(key)

    def reset(self) -> int:
        """Drop all keys; return how many were counted exactly."""
        with self._lock:
            count = sum(map(len, self._tables.values()))
            self._tables.clear()
        return count

    def check(self) -> bool:
        """Return True: memory is always available."""
        return True

    @property
    def base_exceptions(self) -> type[Exception]:
        """Exceptions that the library should catch. Memory raises none that a caller could wait out."""
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Not used by moving windows."""
        raise NotImplementedError

    def get(self, key: str) -> int:
        """Not used by moving windows."""
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        """Not used by moving windows."""
        raise NotImplementedError

    def _table(self, key: str, seconds: int) -> Table:
        name = key.partition("/")[0], seconds
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = Table(seconds)
        return table
