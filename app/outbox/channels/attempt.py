"""One attempt to send a message: how it can fail, and the deadline of its conversation with a server.

A socket's own time-out bounds each wait, so a server that sends one byte now and then could hold a worker forever.
Here the whole conversation has an end: one thread looks at all of them, and shuts the socket of one that is overdue.
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

LONGEST_TRY = timedelta(minutes=20)
"""No ``send`` takes longer: 5 minutes each until one of two servers has the message, 10 for its answer (RFC 5321,
section 4.5.3.2).

A lease must last as long, or be renewed meanwhile.
"""


MESSAGE, MOMENT, PROVIDER = "message", "moment", "provider"
"""What a failure is about: this message, which no other provider would take either; this moment, in which another one
may take it; or the provider as a whole, which counts towards leaving it alone for a while."""


class Failed(Exception):
    """The message was not sent, or that is unknown.

    :ivar reason: without address, text or anything that a server said
    :ivar permanent: no later try can end better
    :ivar taken: whether the other side may have the message all the same, so that a repeat may be a copy
    :ivar wait: seconds before which it must not be tried again; None leaves that to the plan
    :ivar remedy: what an operator can do about it, as ``flask doctor`` says it; "" when there is nothing to be done
    :ivar fault: what it is about, one of ``MESSAGE``, ``MOMENT``, ``PROVIDER``
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
        """Whether another provider may be given the message at once: never what this one may have taken."""
        return self.fault != MESSAGE and not self.taken


class Postponed(Exception):
    """The channel can't take the message now, and has not: ask again in ``seconds``. This counts as no try.

    :ivar reason: as that of ``Failed``
    """

    def __init__(self, seconds: float, reason: str = "channel rests") -> None:
        super().__init__(f"{reason}, for {seconds:.0f} s")
        self.seconds = seconds
        self.reason = reason


class Interrupted(Exception):
    """This worker stops before the other side had the message; the next one sends it."""


def unreached(whom: str, setting: str, error: Exception) -> Failed:
    """Say why ``whom`` was not reached, in the operator's words; it never heard of the message.

    :param setting: the variable with its URL
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
"""Seconds between two looks."""


class Deadline:
    """When a conversation through a client of smtplib or http.client must end: ``until``, in monotonic seconds.

    A thread of its own then shuts the socket.

    :ivar taken: whether the other side may have the message by now
    :ivar silence: seconds before it is sent again when no answer comes; None leaves that to the plan
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self.over = False
        self.taken = False
        self.silence: float | None = None
        self._client: Any = None
        self._sock: Any = None

    def through(self, client: Any) -> None:
        """Name the client whose ``sock`` is to be shut at the end. Raises Failed when that has come already."""
        self._client, self._sock = client, getattr(client, "sock", None)
        if self.over or time.monotonic() >= self.until:
            raise Failed("timed out", fault=PROVIDER)

    def hand_over(self, *, seconds: float | None = None, silence: float | None = None) -> None:
        """Note that the other side may have the message from here on, and has ``seconds`` from now to say so."""
        self.taken, self.silence = True, silence
        if seconds is not None:
            self.until = time.monotonic() + seconds

    def end(self) -> None:
        """Shut the socket: a thread that waits for it gets an error at once."""
        self.over = True
        sock = getattr(self._client, "sock", None) or self._sock  # http.client forgets it while a body is read
        if sock is not None:  # else it is not connected yet
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


_under_way: set[Deadline] = set()
_stopping = threading.Event()
_watch: threading.Thread | None = None


@contextmanager
def cut_off_after(seconds: float) -> Iterator[Deadline]:
    """Run a block that talks to a server, and end that talk ``seconds`` after its beginning.

    :raises Failed: "timed out", when the block failed because of that; "worker stopped", when it failed because of
        that after the message was handed over
    :raises Interrupted: when the worker stops before that
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
    """End every conversation and let none begin, because this worker stops."""
    _stopping.set()
    for deadline in list(_under_way):
        deadline.end()


def resume() -> None:
    """Let conversations begin again: a worker starts in this process."""
    _stopping.clear()


def _keep_watch() -> None:
    """Make sure that the watch runs: threads do not survive a fork."""
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
