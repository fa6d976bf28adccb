"""One attempt to send a message: how it can fail, and the deadline for the whole exchange with a server.

A socket timeout only limits each single read or write, so a server that sends a byte now and then could block a worker
forever. A deadline limits the exchange as a whole: one thread watches all deadlines and shuts down overdue sockets.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

MAX_ATTEMPT_TIME = timedelta(minutes=20)
"""Upper limit for any ``send``: 5 minutes for each of two servers until one has the message, and 10 for its response
(RFC 5321, section 4.5.3.2).

A lease must last that long, or be renewed in the meantime.
"""


MESSAGE, TEMPORARY, PROVIDER = "message", "temporary", "provider"
"""What a failure is about: the message, which no other provider would accept either; the moment, in which another
provider may accept it; or the provider as a whole, which counts toward opening its circuit breaker."""


class Failed(Exception):
    """The message was not sent, or it is unknown whether it was.

    :ivar reason: without address, text or anything from the server's response
    :ivar permanent: whether a retry is pointless
    :ivar maybe_accepted: whether the other side may have the message anyway, so that a retry may send a duplicate
    :ivar wait: minimum seconds before a retry; None for the regular schedule
    :ivar remedy: what an operator can do about it, as shown by ``flask doctor``; "" for nothing
    :ivar fault: what it is about: ``MESSAGE``, ``TEMPORARY`` or ``PROVIDER``
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        maybe_accepted: bool = False,
        wait: float | None = None,
        remedy: str = "",
        fault: str = MESSAGE,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent
        self.maybe_accepted = maybe_accepted
        self.wait = wait
        self.remedy = remedy
        self.fault = fault

    @property
    def allows_failover(self) -> bool:
        """Whether another provider may be tried immediately. Never if this one may already have the message."""
        return self.fault != MESSAGE and not self.maybe_accepted


class Postponed(Exception):
    """The channel can't accept the message now: try again in ``seconds``. Doesn't count as an attempt.

    :ivar reason: as in ``Failed``
    """

    def __init__(self, seconds: float, reason: str = "channel rests") -> None:
        super().__init__(f"{reason}, for {seconds:.0f} s")
        self.seconds = seconds
        self.reason = reason


class Interrupted(Exception):
    """The worker is stopping before the message was handed over. Another worker will send it."""


def connection_failure(server: str, setting: str, error: Exception) -> Failed:
    """Return the failure for an error while connecting to ``server``, before the message was handed over.

    :param setting: environment variable that holds its URL
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.partition(",")[0]
        remedy = "Use the name that the certificate is for, or name your CA's certificate in SSL_CERT_FILE."
        return Failed(f"{server}'s certificate not trusted ({reason})", remedy=remedy, fault=PROVIDER)
    if isinstance(error, ssl.SSLError):
        remedy = f"Check scheme and port in {setting}."
        return Failed(f"{server} speaks no TLS that we know", remedy=remedy, fault=PROVIDER)
    if isinstance(error, socket.gaierror):
        remedy = f"Check the host in {setting}, and name resolution on this machine."
        return Failed(f"{server}'s name not found", remedy=remedy, fault=PROVIDER)
    remedy = f"Check host and port in {setting}, that the server runs, and that no firewall is in between."
    return Failed(f"{server} unreachable ({type(error).__name__})", remedy=remedy, fault=PROVIDER)


CHECK_INTERVAL = 0.1
"""Seconds between two checks for overdue deadlines."""


class Deadline:
    """Deadline for an exchange through an smtplib or http.client client: ``until``, in monotonic seconds.

    A background thread shuts down the socket when it has passed.

    :ivar maybe_accepted: whether the other side may have the message by now
    :ivar retry_wait: minimum seconds before a retry if no response comes; None for the regular schedule
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self.has_ended = False
        self.maybe_accepted = False
        self.retry_wait: float | None = None
        self._client: Any = None
        self._sock: Any = None

    def attach(self, client: Any) -> None:
        """Set the client whose ``sock`` is shut down at the deadline. Raises Failed if it has already passed."""
        self._client, self._sock = client, getattr(client, "sock", None)
        if self.has_ended or time.monotonic() >= self.until:
            raise Failed("timed out", fault=PROVIDER)

    def hand_over(self, *, seconds: float | None = None, retry_wait: float | None = None) -> None:
        """Record that the other side may have the message from now on, and give it ``seconds`` to respond."""
        self.maybe_accepted, self.retry_wait = True, retry_wait
        if seconds is not None:
            self.until = time.monotonic() + seconds

    def shut_down(self) -> None:
        """Shut down the socket, so that a thread blocked on it gets an error immediately."""
        self.has_ended = True
        sock = getattr(self._client, "sock", None) or self._sock  # http.client drops it while reading a body
        if sock is not None:  # otherwise not connected yet
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


_active: set[Deadline] = set()
_stopping = threading.Event()
_watchdog: threading.Thread | None = None


@contextmanager
def cut_off_after(seconds: float) -> Iterator[Deadline]:
    """Run a block that talks to a server, and shut down its connection after ``seconds``.

    :raises Failed: "timed out" if the block failed at the deadline or by a timeout of its own; "worker stopped" if it
        failed while the worker was stopping, after the message was handed over
    :raises Interrupted: if the worker stops before that
    """
    deadline = Deadline(time.monotonic() + seconds)
    _active.add(deadline)
    _start_watchdog()
    try:
        if _stopping.is_set():
            raise Interrupted
        yield deadline
    except Exception as error:
        if _stopping.is_set():
            if deadline.maybe_accepted:
                raise Failed("worker stopped", maybe_accepted=True, wait=deadline.retry_wait) from error
            raise Interrupted from error
        overdue = deadline.has_ended or time.monotonic() >= deadline.until
        if overdue or isinstance(error, TimeoutError):
            raise Failed(
                "timed out", maybe_accepted=deadline.maybe_accepted, wait=deadline.retry_wait, fault=PROVIDER
            ) from error
        raise
    finally:
        _active.discard(deadline)


def cut_off_all() -> None:
    """Cut off all exchanges and prevent new ones, because this worker is stopping."""
    _stopping.set()
    for deadline in list(_active):
        deadline.shut_down()


def resume() -> None:
    """Allow exchanges again when a worker starts in this process."""
    _stopping.clear()


def _start_watchdog() -> None:
    """Start the watchdog thread unless it is running. Threads don't survive a fork."""
    global _watchdog
    if _watchdog is None or not _watchdog.is_alive():
        _watchdog = threading.Thread(target=_shut_down_overdue, name="outbox-cutoff", daemon=True)
        _watchdog.start()


def _shut_down_overdue() -> None:
    while True:
        time.sleep(CHECK_INTERVAL)
        now = time.monotonic()
        for deadline in list(_active):
            if deadline.until <= now:
                deadline.shut_down()
