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


MESSAGE, MOMENT, PROVIDER = "message", "moment", "provider"
"""What a failure is about: the message, which no other provider would accept either; the moment, in which another
provider may accept it; or the provider as a whole, which counts toward opening its circuit breaker."""


class Failed(Exception):
    """The message was not sent, or it is unknown whether it was.

    :ivar reason: without address, text or anything from the server's response
    :ivar permanent: whether a retry is pointless
    :ivar taken: whether the other side may have the message anyway, so that a retry may send a duplicate
    :ivar wait: minimum seconds before a retry; None for the regular schedule
    :ivar remedy: what an operator can do about it, as shown by ``flask doctor``; "" for nothing
    :ivar fault: what it is about: ``MESSAGE``, ``MOMENT`` or ``PROVIDER``
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        taken: bool = False,
        wait: float | None = None,
        remedy: str = "",
        fault: str = MESSAGE,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent
        self.taken = taken
        self.wait = wait
        self.remedy = remedy
        self.fault = fault

    @property
    def may_go_elsewhere(self) -> bool:
        """Whether another provider may be tried immediately. Never if this one may already have the message."""
        return self.fault != MESSAGE and not self.taken


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


def unreached(whom: str, setting: str, error: Exception) -> Failed:
    """Return the failure for an error while connecting to ``whom``, before the message was handed over.

    :param setting: environment variable that holds its URL
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.partition(",")[0]
        remedy = "Use the name that the certificate is for, or name your CA's certificate in SSL_CERT_FILE."
        return Failed(f"{whom}'s certificate not trusted ({why})", remedy=remedy, fault=PROVIDER)
    if isinstance(error, ssl.SSLError):
        remedy = f"Check scheme and port in {setting}."
        return Failed(f"{whom} speaks no TLS that we know", remedy=remedy, fault=PROVIDER)
    if isinstance(error, socket.gaierror):
        remedy = f"Check the host in {setting}, and name resolution on this machine."
        return Failed(f"{whom}'s name not found", remedy=remedy, fault=PROVIDER)
    remedy = f"Check host and port in {setting}, that the server runs, and that no firewall is in between."
    return Failed(f"{whom} unreachable ({type(error).__name__})", remedy=remedy, fault=PROVIDER)


TICK = 0.1
"""Seconds between two checks for overdue deadlines."""


class Deadline:
    """Deadline for an exchange through an smtplib or http.client client: ``until``, in monotonic seconds.

    A background thread shuts down the socket when it has passed.

    :ivar taken: whether the other side may have the message by now
    :ivar silence: minimum seconds before a retry if no response comes; None for the regular schedule
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self.over = False
        self.taken = False
        self.silence: float | None = None
        self._client: Any = None
        self._sock: Any = None

    def through(self, client: Any) -> None:
        """Set the client whose ``sock`` is shut down at the deadline. Raises Failed if it has already passed."""
        self._client, self._sock = client, getattr(client, "sock", None)
        if self.over or time.monotonic() >= self.until:
            raise Failed("timed out", fault=PROVIDER)

    def hand_over(self, *, seconds: float | None = None, silence: float | None = None) -> None:
        """Record that the other side may have the message from now on, and give it ``seconds`` to respond."""
        self.taken, self.silence = True, silence
        if seconds is not None:
            self.until = time.monotonic() + seconds

    def end(self) -> None:
        """Shut down the socket, so that a thread blocked on it gets an error immediately."""
        self.over = True
        sock = getattr(self._client, "sock", None) or self._sock  # http.client drops it while reading a body
        if sock is not None:  # otherwise not connected yet
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


_under_way: set[Deadline] = set()
_stopping = threading.Event()
_watch: threading.Thread | None = None


@contextmanager
def cut_off_after(seconds: float) -> Iterator[Deadline]:
    """Run a block that talks to a server, and shut down its connection after ``seconds``.

    :raises Failed: "timed out" if the block failed at the deadline or by a timeout of its own; "worker stopped" if it
        failed while the worker was stopping, after the message was handed over
    :raises Interrupted: if the worker stops before that
    """
    deadline = Deadline(time.monotonic() + seconds)
    _under_way.add(deadline)
    _keep_watch()
    try:
        if _stopping.is_set():
            raise Interrupted
        yield deadline
    except Exception as error:
        if _stopping.is_set():
            if deadline.taken:
                raise Failed("worker stopped", taken=True, wait=deadline.silence) from error
            raise Interrupted from error
        overdue = deadline.over or time.monotonic() >= deadline.until
        if overdue or isinstance(error, TimeoutError):
            raise Failed("timed out", taken=deadline.taken, wait=deadline.silence, fault=PROVIDER) from error
        raise
    finally:
        _under_way.discard(deadline)


def cut_off_all() -> None:
    """Cut off all exchanges and prevent new ones, because this worker is stopping."""
    _stopping.set()
    for deadline in list(_under_way):
        deadline.end()


def resume() -> None:
    """Allow exchanges again when a worker starts in this process."""
    _stopping.clear()


def _keep_watch() -> None:
    """Start the watchdog thread unless it is running. Threads don't survive a fork."""
    global _watch
    if _watch is None or not _watch.is_alive():
        _watch = threading.Thread(target=_end_what_is_overdue, name="outbox-cutoff", daemon=True)
        _watch.start()


def _end_what_is_overdue() -> None:
    while True:
        time.sleep(TICK)
        now = time.monotonic()
        for deadline in list(_under_way):
            if deadline.until <= now:
                deadline.end()
