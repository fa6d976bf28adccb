"""Wake-ups between machines, through Redis or PostgreSQL."""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog

log = structlog.get_logger()

CHANNEL = "latchkey_wake"

TIMEOUT = 2.0
"""Seconds that either may take, in threads in which no request waits."""

AFTER_TROUBLE = 5.0


class _Remote:
    """Wakes through another server, by a thread in which no request waits."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._wanted = threading.Event()
        self._client: Any = None
        threading.Thread(target=self._run, name="outbox-wake", daemon=True).start()

    def wake(self) -> None:
        """Have them woken soon; one wake-up will do for several messages."""
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self._send()
            except Exception as error:  # the driver of either may raise anything; workers look by themselves
                log.warning("queue.unreachable", error=type(error).__name__)
                self._client = None
                time.sleep(AFTER_TROUBLE)

    def _send(self) -> None:
        raise NotImplementedError


class RedisSender(_Remote):
    """Wakes through Redis."""

    def _send(self) -> None:
        if self._client is None:
            self._client = _redis(self._url)
        self._client.publish(CHANNEL, "")


class RedisListener:
    """The worker's end of Redis."""

    def __init__(self, url: str) -> None:
        self._client = _redis(url)
        self._subscription = self._client.pubsub(ignore_subscribe_messages=True)
        self._subscription.subscribe(CHANNEL)

    def wait(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._subscription.get_message(timeout=left) is not None:
                return True
        return False

    def count(self) -> int:
        """Return how many listen, this one too."""
        return int(self._client.pubsub_numsub(CHANNEL)[0][1])

    def close(self) -> None:
        self._subscription.close()
        self._client.close()


def _redis(url: str) -> Any:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0))


class PostgresSender(_Remote):
    """Wakes through PostgreSQL."""

    def _send(self) -> None:
        if self._client is None:
            self._client = _postgres(self._url)
        self._client.execute(f"NOTIFY {CHANNEL}")


class PostgresListener:
    """The worker's end of PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._connection = _postgres(url)
        self._connection.execute(f"LISTEN {CHANNEL}")

    def wait(self, seconds: float) -> bool:
        return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))

    def close(self) -> None:
        self._connection.close()


def _postgres(url: str) -> Any:
    import psycopg

    dsn = url.replace("postgresql+psycopg:", "postgresql:", 1)
    return psycopg.connect(
        dsn, autocommit=True, connect_timeout=int(TIMEOUT), tcp_user_timeout=int(TIMEOUT * 1000), prepare_threshold=None
    )
