"""Wake workers when a message was committed. A wake-up carries nothing: rows are in the table.

A worker looks at the table every second in any case, so a wake-up that is lost costs a second. Requests never wait:
on this machine a wake-up is a datagram to a socket in a folder, and what goes through Redis or PostgreSQL is sent by
a thread of its own.
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

PAUSE = 0.05
"""Seconds in which further wake-ups gather, on either side. Nobody waits for that: a worker that has just looked at the
table lets messages gather for longer (``GATHER`` in ``app/outbox/schedule.py``)."""

LONGEST_PATH = 100
"""Octets of a socket's path; most systems take 108 and some less."""

LIST_EVERY = 1.0
"""Seconds for which the sockets of a folder are remembered."""


class Folder:
    """A folder with one datagram socket for each worker on this machine."""

    def __init__(self, url: str) -> None:
        self.path = Path(str(make_url(url).database)).with_suffix(".wake")
        self._socket: socket.socket | None = None
        self._opened: int | None = None
        self._known: list[str] = []
        self._listed_at = float("-inf")

    def wake(self) -> None:
        """Wake them all."""
        with suppress(OSError):  # no folder, so no worker yet
            self.send()

    def send(self) -> list[bool]:
        """Wake them all and return for each whether it still listens. Raises OSError."""
        now = time.monotonic()
        if now - self._listed_at > LIST_EVERY:
            self._known = [name for name in os.listdir(self.path) if name.endswith(".sock")]
            self._listed_at = now
        return [self._send_to(name) for name in self._known]

    def _send_to(self, name: str) -> bool:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        try:
            self._socket.sendto(b"\0", self.address(name))
        except BlockingIOError:  # it has not even read the last ones
            return True
        except (ConnectionRefusedError, FileNotFoundError):  # its worker was killed
            self._listed_at = float("-inf")
            with suppress(OSError):
                (self.path / name).unlink()
            return False
        return True

    def address(self, name: str) -> str:
        """Return the path of a socket, over a descriptor of its folder where it would be too long."""
        path = str(self.path / name)
        if len(os.fsencode(path)) <= LONGEST_PATH:
            return path
        return f"/proc/self/fd/{self._descriptor()}/{name}"

    def _descriptor(self) -> int:
        if self._opened is None:
            self._opened = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        return self._opened


class SocketListener:
    """The worker's end: a socket of its own in the folder."""

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
                time.sleep(PAUSE)
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
                while self._subscription.get_message() is not None:
                    pass  # those of other processes
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


NOBODY = "memory:"
"""Where a database in memory is, no other process can be woken."""


class Listener(Protocol):
    """The worker's end."""

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; return whether there was a wake-up. Raises what the driver raises."""

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
    """Return how many workers listen at ``url``; None where that can't be known. Raises what the driver raises."""
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


class _NoWakeups:
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
    "memory": (_NoWakeups, _NoWakeups),
    "sqlite": (Folder, SocketListener),
    "redis": (RedisSender, RedisListener),
    "rediss": (RedisSender, RedisListener),
    "postgresql": (PostgresSender, PostgresListener),
}


@lru_cache(maxsize=8)
def _sender(url: str, process: int) -> Any:
    return _KINDS[_scheme(url)][0](url)
