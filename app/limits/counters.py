"""Counters behind the limits: in Redis, shared by all replicas, or in this process while that is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from limits import RateLimitItem
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

log = structlog.get_logger()

DEADLINE = 0.2
"""Seconds that Redis has for an answer."""

REST = 10.0
"""Seconds for which Redis is left alone after it did not answer; this process counts alone meanwhile."""

T = TypeVar("T")


class Counters:
    """Moving windows. A limit never fails open: without Redis each process holds it by itself."""

    def __init__(self, redis_url: str) -> None:
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._shared = None
        self._rests_until = 0.0
        if redis_url:
            storage = RedisStorage(redis_url, socket_timeout=DEADLINE, socket_connect_timeout=DEADLINE)
            self._shared = MovingWindowRateLimiter(storage)

    def hit(self, item: RateLimitItem, *key: str) -> bool:
        """Use a turn of ``item``; False when none is left."""
        return self._ask(lambda limiter: limiter.hit(item, *key))

    def test(self, item: RateLimitItem, *key: str) -> bool:
        """Say whether a turn of ``item`` is left; uses none."""
        return self._ask(lambda limiter: limiter.test(item, *key))

    def full_until(self, item: RateLimitItem, *key: str) -> float:
        """Return the Unix time at which a turn is free again."""
        return self._ask(lambda limiter: limiter.get_window_stats(item, *key).reset_time)

    def _ask(self, question: Callable[[MovingWindowRateLimiter], T]) -> T:
        if self._shared is not None and time.monotonic() >= self._rests_until:
            try:
                return question(self._shared)
            except Exception as error:  # the driver of Redis raises many kinds
                self._rests_until = time.monotonic() + REST
                log.warning("limits.redis_away", error=type(error).__name__)
        return question(self._local)
