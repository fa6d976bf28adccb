"""Counters behind the limits: in Redis, shared by all replicas, or in this process while it is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import structlog
from limits import RateLimitItem
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.throttling.memory import Memory

log = structlog.get_logger()

DEADLINE = 0.2
"""Seconds that Redis has for an answer."""

REST = 10.0
"""Seconds for which Redis is left alone after it did not answer; this process counts alone meanwhile."""

T = TypeVar("T")


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
            once = Retry(NoBackoff(), 0)
            deadlines = {"socket_timeout": DEADLINE, "socket_connect_timeout": DEADLINE, "retry": once}
            storage = RedisStorage(redis_url, **deadlines)  # type: ignore[arg-type]
            self._shared = MovingWindowRateLimiter(storage)

    def hit(self, item: RateLimitItem, *key: str) -> bool:
        """Use a turn of ``item``; False when none is left."""
        return self._ask(lambda limiter, item: limiter.hit(item, *key), item)

    def test(self, item: RateLimitItem, *key: str) -> bool:
        """Say whether a turn of ``item`` is left; uses none."""
        return self._ask(lambda limiter, item: limiter.test(item, *key), item)

    def full_until(self, item: RateLimitItem, *key: str) -> float:
        """Return the Unix time at which a turn is free again."""
        return self._ask(lambda limiter, item: limiter.get_window_stats(item, *key).reset_time, item)

    def _ask(self, question: Callable[[MovingWindowRateLimiter, RateLimitItem], T], item: RateLimitItem) -> T:
        if self._shared is not None and time.monotonic() >= self._rests_until:
            try:
                return question(self._shared, item)
            except Exception as error:  # the driver of Redis raises many kinds
                self._rest(error)
        return question(self.local, self._divided(item))

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
