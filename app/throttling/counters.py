"""Moving windows behind the limits: in Redis, shared by all replicas, or in this process while it is away.

In this process they cost the same however many addresses were ever seen (ADR 33). Each limit has a table of the keys
that were counted last, oldest first, and forgets those whose window is over. A table holds KEYS of them. While it is
full, as in a flood of made-up addresses, those it knows are counted as ever, and all others share CELLS counters, each
by its hash: none is forgotten, and few meet a counter that others have used up.
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
"""Seconds that Redis has for an answer."""

REST = 10.0
"""Seconds for which Redis is left alone after it did not answer; this process counts alone meanwhile."""

T = TypeVar("T")

KEYS: Final = 32_768
"""Keys of one limit that are counted one by one: about 16 MB, when each used 20 turns."""

CELLS: Final = 1 << 20
"""Counters that the others share: 2 MB for this window, and as much for the one before."""

FULL: Final = 65_535
"""The most a shared counter holds."""

FORGET: Final = 2
"""Keys that each hit forgets, at most, when their window is over: one more than it adds."""


class Counters:
    """Moving windows. A limit never fails open: without Redis each process holds its share of it by itself.

    :param replicas: among how many processes the limit is divided while Redis is away
    """

    def __init__(self, redis_url: str, replicas: int = 1) -> None:
        self.local = MovingWindowRateLimiter(Memory())
        self._shared = None
        self._share = replicas if redis_url else 1
        self._rests_until = 0.0
        self._resting = Lock()
        if redis_url:
            self._shared = MovingWindowRateLimiter(_redis(redis_url))

    def hit(self, item: RateLimitItem, *key: str) -> bool:
        """Use a turn of ``item``; False when none is left."""
        return self._ask(lambda limiter, item: limiter.hit(item, *key), item)

    def test(self, item: RateLimitItem, *key: str) -> bool:
        """Say whether a turn of ``item`` is left; uses none."""
        return self._ask(lambda limiter, item: limiter.test(item, *key), item)

    def full_until(self, item: RateLimitItem, *key: str) -> float:
        """Return the Unix time at which a turn is free again."""
        return self._ask(lambda limiter, item: limiter.get_window_stats(item, *key).reset_time, item)

    def _ask(self, challenge_request: Callable[[MovingWindowRateLimiter, RateLimitItem], T], item: RateLimitItem) -> T:
        if self._shared is not None and time.monotonic() >= self._rests_until:
            began = time.perf_counter()
            try:
                return challenge_request(self._shared, item)
            except Exception as error:  # the driver of Redis raises many kinds
                metrics.REDIS_FAILURES.count()
                self._rest(error)
            finally:
                metrics.REDIS.observe(time.perf_counter() - began)
        return challenge_request(self.local, self._divided(item))

    def _rest(self, error: Exception) -> None:
        """Leave Redis alone for a while, and say so once for all threads."""
        now = time.monotonic()
        with self._resting:
            first, self._rests_until = now >= self._rests_until, max(self._rests_until, now + REST)
        if first:
            log.warning("limits.redis_away", error=type(error).__name__, seconds=REST)

    def _divided(self, item: RateLimitItem) -> RateLimitItem:
        if self._share == 1:
            return item
        return type(item)(max(1, item.amount // self._share), item.multiples, item.namespace)


def _redis(url: str) -> Storage:
    """Return Redis as a storage of the ``limits`` library, asked once. Its client, 9 MB, is loaded here alone."""
    # Whole, and first: the storage takes ``redis`` from sys.modules, where another thread may have only begun with it.
    import redis  # noqa: F401
    from limits.storage import RedisStorage
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    once = Retry(NoBackoff(), 0)
    deadlines = {"socket_timeout": DEADLINE, "socket_connect_timeout": DEADLINE, "retry": once}
    return RedisStorage(url, **deadlines)  # type: ignore[arg-type]


class Table:
    """The windows of one limit, each of ``seconds``. Its caller holds a lock."""

    __slots__ = ("_before", "_keys", "_now", "_number", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._keys: OrderedDict[str, array[float]] = OrderedDict()
        self._number = 0
        self._now: array[int] | None = None
        self._before: array[int] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def times(self, key: str, now: float) -> array[float] | None:
        """Return when ``key`` was counted within the window, oldest first; None when it is not counted by itself."""
        times = self._keys.get(key)
        if times is not None:
            end, old = now - self._seconds, 0
            while old < len(times) and times[old] <= end:
                old += 1
            del times[:old]
        return times

    def add(self, key: str, now: float, amount: int) -> None:
        """Count ``key`` this many times more."""
        times = self._keys.get(key)
        if times is not None:
            self._keys.move_to_end(key)
        elif len(self._keys) < KEYS:
            times = self._keys[key] = array("d", [now]) * self.shared(key, now)
        else:
            self._share(key, now, amount)
            return
        times.extend([now] * amount)

    def forget(self, now: float) -> None:
        """Drop a few keys whose window is over."""
        for _ in range(min(FORGET, len(self._keys))):
            key = next(iter(self._keys))
            times = self._keys[key]
            if times and times[-1] > now - self._seconds:
                return
            del self._keys[key]

    def drop(self, key: str) -> None:
        """Forget ``key``, if it is counted by itself."""
        self._keys.pop(key, None)

    def shared(self, key: str, now: float) -> int:
        """Return how often ``key``, and what shares its counter, was counted within the window, about."""
        self._turn(now)
        cell, part = hash(key) % CELLS, now / self._seconds % 1
        found = self._now[cell] if self._now else 0
        return found + int(self._before[cell] * (1 - part)) if self._before else found

    def _share(self, key: str, now: float, amount: int) -> None:
        self._turn(now)
        if self._now is None:
            self._now = array("H", bytes(2 * CELLS))
        cell = hash(key) % CELLS
        self._now[cell] = min(FULL, self._now[cell] + amount)

    def _turn(self, now: float) -> None:
        """Begin a new window of the shared counters when it is time."""
        number = int(now // self._seconds)
        if number != self._number:
            self._before = self._now if number == self._number + 1 else None
            self._number, self._now = number, None


class Memory(Storage, MovingWindowSupport):
    """A storage of the ``limits`` library. A key's namespace, up to its first slash, is the limit it belongs to."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._tables: dict[tuple[str, int], Table] = {}
        self._lock = Lock()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count ``key``; False, and nothing is counted, when that would be more than ``limit``."""
        now = time.time()
        with self._lock:
            table = self._table(key, expiry)
            table.forget(now)
            times = table.times(key, now)
            if (table.shared(key, now) if times is None else len(times)) + amount > limit:
                return False
            table.add(key, now, amount)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return when the window of ``key`` began (Unix time) and how often it was counted within it."""
        now = time.time()
        with self._lock:
            table = self._table(key, expiry)
            times = table.times(key, now)
            if times is None:
                return now, table.shared(key, now)
            return (times[0] if times else now), len(times)

    def clear(self, key: str) -> None:
        """Forget ``key``, if it is counted by itself."""
        with self._lock:
            for table in self._tables.values():
                table.drop(key)

    def reset(self) -> int:
        """Forget all; return how many keys were counted by themselves."""
        with self._lock:
            count = sum(map(len, self._tables.values()))
            self._tables.clear()
        return count

    def check(self) -> bool:
        """Say that it works."""
        return True

    @property
    def base_exceptions(self) -> type[Exception]:
        """What it raises: nothing that a caller could wait out."""
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Not for moving windows."""
        raise NotImplementedError

    def get(self, key: str) -> int:
        """Not for moving windows."""
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        """Not for moving windows."""
        raise NotImplementedError

    def _table(self, key: str, seconds: int) -> Table:
        name = key.partition("/")[0], seconds
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = Table(seconds)
        return table
