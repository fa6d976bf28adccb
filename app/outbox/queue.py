"""The queue that tells workers what to look at first. Huey over SQLite, Redis or PostgreSQL.

An entry is a hint: a message's id and its lane. The truth is the row, which the worker's sweep finds
also when its entry was lost. So the queue may be fast rather than durable, and its failure fails nobody.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from huey import Huey, MemoryHuey, PostgresHuey, RedisHuey, SqliteHuey
from huey.registry import Message as Entry
from sqlalchemy.engine import make_url

from app.extensions import settings as current_settings
from app.kit.secrets import digest
from app.outbox.breaker import Breaker

if TYPE_CHECKING:
    from config.settings import Settings

log = structlog.get_logger()

NAME = "latchkey"
TASK = "deliver"
IN_MEMORY = "memory:"

PUSH_TIMEOUT = 0.2
"""Seconds a request waits for the queue, at most."""

PULL_TIMEOUT = 0.5
"""Seconds a worker waits for an entry before it looks whether it should stop."""


class PlainEntries:
    """Entries as ``<id> <lane>``. Huey's own way is pickle, which would run what a stranger puts into the queue."""

    def serialize(self, entry: Entry) -> bytes:
        """Return the bytes of an entry."""
        return " ".join(entry.args).encode()

    def deserialize(self, data: bytes) -> Entry:
        """Return the entry of some bytes. Raises ValueError for anything that is no entry."""
        message_id, lane = bytes(data).decode().split(" ", 1)
        return Entry(id=message_id, name=f"{__name__}.{TASK}", args=(message_id, lane), kwargs={})


class Queue:
    """One connection to the queue. Bound to its process: connections do not survive a fork."""

    def __init__(self, huey: Huey) -> None:
        self._huey = huey
        self._deliver = huey.task(name=TASK)(_named_only)

    def push(self, message_id: str, lane: str) -> None:
        """Add an entry. Raises what the queue's driver raises."""
        self._deliver(message_id, lane)

    def pull(self) -> tuple[str, str] | None:
        """Take the next entry: a message's id and lane. None when there is none. Raises what the driver raises."""
        try:
            task = self._huey.dequeue()
        except ValueError:
            log.warning("queue.entry_unreadable")
            return None
        return task and task.args

    def pull_all(self, most: int) -> list[tuple[str, str]]:
        """Take what is there, at most so many, waiting only for the first. Raises what the driver raises.

        What was taken before that is lost to the queue, not to the sweep.
        """
        first = self.pull()
        if first is None:
            return []
        found = [first]
        storage = self._huey.storage
        waits, storage.blocking = storage.blocking, False
        try:
            while len(found) < most and (entry := self.pull()):
                found.append(entry)
        finally:
            storage.blocking = waits
        return found

    @property
    def wakes(self) -> bool:
        """Whether ``pull`` waits for an entry by itself, up to PULL_TIMEOUT."""
        return bool(self._huey.storage.blocking)

    def __len__(self) -> int:
        return int(self._huey.pending_count())


def _named_only(message_id: str, lane: str) -> None:
    """Give the task its name; the worker takes entries apart itself, to choose what goes next."""


def push(message_id: str, lane: str) -> None:
    """Tell the workers that a message waits. Never fails: what the queue loses, the sweep finds."""
    url = _location(current_settings.queue_url, current_settings.database_url)
    breaker = _breaker(url)
    if breaker.wait():
        return
    try:
        _pushing(url, os.getpid()).push(message_id, lane)
    except Exception as error:  # the driver of any queue may raise anything; the message is safe in its row
        breaker.failed()
        log.warning("queue.unreachable", error=type(error).__name__, message=message_id)
    else:
        breaker.succeeded()


def location(settings: Settings) -> str:
    """Return the queue's URL: the one set, or that of a file beside the database, else in ``var/``, one for each."""
    return _location(settings.queue_url, settings.database_url)


@lru_cache(maxsize=8)
def _location(queue_url: str, database_url: str) -> str:
    if queue_url:
        return queue_url
    if not database_url.startswith("sqlite"):
        return f"sqlite:///var/queue-{digest(database_url)[:8]}.db"
    database = make_url(database_url).database
    if not database or database == ":memory:":
        return IN_MEMORY
    return f"sqlite:///{Path(database).with_name('queue.db')}"


def connect(url: str, timeout: float) -> Queue:
    """Connect to the queue at ``url``; ``timeout`` (seconds) bounds each call. Raises what its driver raises."""
    if url == IN_MEMORY:
        return _in_memory()
    scheme = url.partition(":")[0].partition("+")[0]
    kinds = {"sqlite": _sqlite, "redis": _redis, "rediss": _redis, "postgresql": _postgres}
    return Queue(kinds[scheme](url, timeout, {"name": NAME, "results": False, "serializer": PlainEntries()}))


@lru_cache(maxsize=8)
def _breaker(url: str) -> Breaker:
    """After a failure, requests leave the queue alone for 10 s rather than wait for it one after the other."""
    return Breaker(failures=1, seconds=10)


@lru_cache(maxsize=8)
def _pushing(url: str, process: int) -> Queue:
    return connect(url, PUSH_TIMEOUT)


@lru_cache(maxsize=1)
def _in_memory() -> Queue:
    return Queue(MemoryHuey(name=NAME, results=False, serializer=PlainEntries()))


def _sqlite(url: str, timeout: float, common: dict[str, Any]) -> Huey:
    """A file written without waiting for the disk: after a power cut the sweep knows better anyway."""
    path = Path(str(make_url(url).database))
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteHuey(filename=str(path), fsync=False, timeout=timeout, cache_mb=1, **common)


def _redis(url: str, timeout: float, common: dict[str, Any]) -> Huey:
    from redis import ConnectionPool
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    once = Retry(NoBackoff(), 0)
    pool = ConnectionPool.from_url(url, socket_timeout=timeout, socket_connect_timeout=PUSH_TIMEOUT, retry=once)
    return RedisHuey(connection_pool=pool, read_timeout=PULL_TIMEOUT, **common)


def _postgres(url: str, timeout: float, common: dict[str, Any]) -> Huey:
    import psycopg

    dsn = url.replace("postgresql+psycopg:", "postgresql:", 1)
    milliseconds = int(timeout * 1000)
    options = f"-c synchronous_commit=off -c statement_timeout={milliseconds}"

    def open_connection() -> psycopg.Connection[Any]:
        return psycopg.connect(dsn, connect_timeout=2, options=options, tcp_user_timeout=milliseconds)

    return PostgresHuey(connection=open_connection, read_timeout=PULL_TIMEOUT, **common)
