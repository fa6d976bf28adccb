"""Wake workers when a message was committed. A wake-up carries nothing: rows are in the table.

A worker looks at the table every second in any case, so a wake-up that is lost costs a second. Requests never wait:
on this machine a wake-up is a datagram, and what goes through Redis or PostgreSQL is sent by a thread of its own.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy.engine import make_url

from app.crypto.secrets import digest
from app.extensions import settings as current_settings
from app.outbox.wakeup_servers import PostgresListener, PostgresSender, RedisListener, RedisSender
from app.outbox.wakeup_sockets import Folder, SocketListener

if TYPE_CHECKING:
    from config.settings import Settings

NOBODY = "memory:"
"""Where a database in memory is, no other process can be woken."""


class Listener(Protocol):
    """The worker's end."""

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; return whether somebody woke us. Raises what the driver raises."""

    def close(self) -> None:
        """Listen no more."""


def wake() -> None:
    """Wake every worker that listens. Takes microseconds and never fails."""
    url = _location(current_settings.queue_url, current_settings.database_url)
    _sender(url, os.getpid()).wake()


def location(settings: Settings) -> str:
    """Return where wake-ups go: as ``LATCHKEY_QUEUE_URL`` says, else a folder beside the database or in ``var/``."""
    return _location(settings.queue_url, settings.database_url)


def listen(url: str) -> Listener:
    """Begin to listen at ``url``. Raises what the driver raises."""
    listener: Listener = _KINDS[_scheme(url)][1](url)
    return listener


def count_listeners(url: str) -> int | None:
    """Return how many workers listen at ``url``; None where that can't be told. Raises what the driver raises."""
    if url == NOBODY:
        return None
    if _scheme(url) == "sqlite":
        return sum(Folder(url).send())
    listener = listen(url)
    try:
        return listener.count() - 1 if isinstance(listener, RedisListener) else None
    finally:
        listener.close()


@lru_cache(maxsize=8)
def _location(queue_url: str, database_url: str) -> str:
    if queue_url:
        return queue_url
    if not database_url.startswith("sqlite"):
        return f"sqlite:///var/queue-{digest(database_url)[:8]}.db"
    database = make_url(database_url).database
    if not database or database == ":memory:":
        return NOBODY
    return f"sqlite:///{Path(database).with_name('queue.db')}"


def _scheme(url: str) -> str:
    return url.partition(":")[0].partition("+")[0]


class _Nobody:
    """Both ends of no wake-ups at all."""

    def __init__(self, url: str) -> None:
        pass

    def wake(self) -> None:
        """Do nothing."""

    def wait(self, seconds: float) -> bool:
        """Wait in vain."""
        time.sleep(seconds)
        return False

    def close(self) -> None:
        """Do nothing."""


_KINDS: dict[str, tuple[Any, Any]] = {
    "memory": (_Nobody, _Nobody),
    "sqlite": (Folder, SocketListener),
    "redis": (RedisSender, RedisListener),
    "rediss": (RedisSender, RedisListener),
    "postgresql": (PostgresSender, PostgresListener),
}


@lru_cache(maxsize=8)
def _sender(url: str, process: int) -> Any:
    return _KINDS[_scheme(url)][0](url)
