"""Wake workers when a message is committed. A wake-up has no payload: the rows are in the table.

Workers poll the table every second anyway, so a lost wake-up costs at most a second. Requests never wait: on the same
machine a wake-up is a datagram to a socket in a folder, and wake-ups through Redis or PostgreSQL are sent by a
background thread.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from sqlalchemy.engine import make_url

from app.crypto.secrets import digest
from app.extensions import settings as current_settings

if TYPE_CHECKING:
    from config.settings import Settings

COALESCE_TIME = 0.05
"""Seconds in which further wake-ups are coalesced, in both sender and listener. This adds no delay: a worker that has
just polled the table waits longer for messages to accumulate (``MIN_POLL_INTERVAL`` in ``app/outbox/schedule.py``)."""

MAX_PATH_LENGTH = 100
"""Maximum bytes in a socket path. Most systems allow 108, some fewer."""

LIST_CACHE_TIME = 1.0
"""Seconds for which the list of sockets in a folder is cached."""


class Folder:
    """A folder with one datagram socket per worker on this machine."""

    def __init__(self, url: str) -> None:
        self.path = Path(str(make_url(url).database)).with_suffix(".wake")
        self._socket: socket.socket | None = None
        self._folder_descriptor: int | None = None
        self._known: list[str] = []
        self._listed_at = float("-inf")

    def wake(self) -> None:
        """Wake all workers on this machine."""
        with suppress(OSError):  # no folder yet, so no workers either
            self.send()

    def send(self) -> list[bool]:
        """Wake all workers and return, for each socket, whether a worker still listens on it. Raises OSError."""
        now = time.monotonic()
        if now - self._listed_at > LIST_CACHE_TIME:
            self._known = [name for name in os.listdir(self.path) if name.endswith(".sock")]
            self._listed_at = now
        return [self._send_to(name) for name in self._known]

    def _send_to(self, name: str) -> bool:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        try:
            self._socket.sendto(b"\0", self.address(name))
        except BlockingIOError:  # it still has unread wake-ups
            return True
        except (ConnectionRefusedError, FileNotFoundError):  # its worker was killed
            self._listed_at = float("-inf")
            with suppress(OSError):
                (self.path / name).unlink()
            return False
        return True

    def address(self, name: str) -> str:
        """Return the path of a socket, by way of a file descriptor of its folder if it would be too long."""
        path = str(self.path / name)
        if len(os.fsencode(path)) <= MAX_PATH_LENGTH:
            return path
        return f"/proc/self/fd/{self._descriptor()}/{name}"

    def _descriptor(self) -> int:
        if self._folder_descriptor is None:
            self._folder_descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        return self._folder_descriptor


class SocketListener:
    """Listener on a socket of its own in the folder."""

    def __init__(self, url: str) -> None:
        folder = Folder(url)
        folder.path.mkdir(parents=True, exist_ok=True)
        name = f"{secrets.token_hex(4)}.sock"
        self._path = folder.path / name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(folder.address(name))

    def wait(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(1)
            self._socket.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    self._socket.recv(1)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()
        with suppress(OSError):
            self._path.unlink()


log = structlog.get_logger()

CHANNEL = "latchkey_wake"

TIMEOUT = 2.0
"""Seconds a Redis or PostgreSQL operation may take. No request waits for these threads."""

RETRY_DELAY = 5.0


class _RemoteSender:
    """Sends wake-ups through another server, from a background thread so that no request waits."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._requested = threading.Event()
        self._client: Any = None
        threading.Thread(target=self._run, name="outbox-wake", daemon=True).start()

    def wake(self) -> None:
        """Schedule a wake-up. One may serve several messages."""
        self._requested.set()

    def _run(self) -> None:
        while True:
            self._requested.wait()
            self._requested.clear()
            try:
                self._send()
                time.sleep(COALESCE_TIME)
            except Exception as error:  # either driver may raise anything, and workers poll anyway
                log.warning("queue.unreachable", error=type(error).__name__)
                self._client = None
                time.sleep(RETRY_DELAY)

    def _send(self) -> None:
        raise NotImplementedError


class RedisSender(_RemoteSender):
    """Sends wake-ups through Redis."""

    def _send(self) -> None:
        if self._client is None:
            self._client = _redis(self._url)
        self._client.publish(CHANNEL, "")


class RedisListener:
    """Listener on a Redis channel."""

    def __init__(self, url: str) -> None:
        self._client = _redis(url)
        self._subscription = self._client.pubsub(ignore_subscribe_messages=True)
        self._subscription.subscribe(CHANNEL)

    def wait(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (remaining := until - time.monotonic()) > 0:
            if self._subscription.get_message(timeout=remaining) is not None:
                while self._subscription.get_message() is not None:
                    pass  # drain wake-ups from other processes
                return True
        return False

    def count(self) -> int:
        """Return the number of listeners, including this one."""
        return int(self._client.pubsub_numsub(CHANNEL)[0][1])

    def close(self) -> None:
        self._subscription.close()
        self._client.close()


def _redis(url: str) -> Any:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0))


class PostgresSender(_RemoteSender):
    """Sends wake-ups through PostgreSQL."""

    def _send(self) -> None:
        if self._client is None:
            self._client = _postgres(self._url)
        self._client.execute(f"NOTIFY {CHANNEL}")


class PostgresListener:
    """Listener on a PostgreSQL channel."""

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


NO_WAKEUPS = "memory:"
"""Location for an in-memory database, which no other process can share."""


class Listener(Protocol):
    """Receives wake-ups in a worker."""

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds``; return whether there was a wake-up. Driver errors propagate."""

    def close(self) -> None:
        """Stop listening."""


def wake() -> None:
    """Wake all listening workers. Takes microseconds and never fails."""
    url = _location(current_settings.queue_url, current_settings.database_url)
    _sender(url, os.getpid()).wake()


def location(settings: Settings) -> str:
    """Return the URL for wake-ups: ``LATCHKEY_QUEUE_URL``, else a folder next to the database or in ``var/``."""
    return _location(settings.queue_url, settings.database_url)


def listen(url: str) -> Listener:
    """Start listening at ``url``. Driver errors propagate."""
    listener: Listener = _KINDS[_scheme(url)][1](url)
    return listener


def count_listeners(url: str) -> int | None:
    """Return the number of workers listening at ``url``; None if that can't be determined. Driver errors propagate."""
    if url == NO_WAKEUPS:
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
        return NO_WAKEUPS
    return f"sqlite:///{Path(database).with_name('queue.db')}"


def _scheme(url: str) -> str:
    return url.partition(":")[0].partition("+")[0]


class _NoWakeups:
    """Sender and listener that do nothing, for a location without wake-ups."""

    def __init__(self, url: str) -> None:
        pass

    def wake(self) -> None:
        """Do nothing."""

    def wait(self, seconds: float) -> bool:
        """Sleep, and return False."""
        time.sleep(seconds)
        return False

    def close(self) -> None:
        """Do nothing."""


_KINDS: dict[str, tuple[Any, Any]] = {
    "memory": (_NoWakeups, _NoWakeups),
    "sqlite": (Folder, SocketListener),
    "redis": (RedisSender, RedisListener),
    "rediss": (RedisSender, RedisListener),
    "postgresql": (PostgresSender, PostgresListener),
}


@lru_cache(maxsize=8)
def _sender(url: str, process: int) -> Any:
    return _KINDS[_scheme(url)][0](url)
