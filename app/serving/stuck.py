"""Ends connections whose request does not come to its end.

The server limits the time for a request's head, but not for its body, and a thread that reads a body can't be
woken. Closing the connection under it does: the read ends, the thread is free. Which connection it is, the kernel
knows: it counts the time since something was last sent on each. Linux only; elsewhere nothing is ended, and the
number of threads is the limit.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from app.serving.gate import Gate

log = structlog.get_logger()

HEAD_WITHIN: Final = 10.0
"""Seconds for a request's head, counted from the last answer; so also how long an idle connection is kept."""

BODY_WITHIN: Final = 15.0
"""Seconds for a body."""

UNDER_PRESSURE: Final = 5.0
"""Seconds without an answer after which connections are ended while most threads wait for bodies."""

EVERY: Final = 1.0

LAST_DATA_SENT: Final = 44
"""Where ``tcpi_last_data_sent`` (unsigned 32 bit, ms) stands in Linux' ``struct tcp_info``."""

ESTABLISHED: Final = 1


def watch(gate: Gate, port: int, threads: int) -> None:
    """Watch this process' connections from now on, in a thread of its own.

    :param port: the port served; connections of other ports (database, mail) are left alone
    :param threads: how many threads may wait for bodies
    """
    if hasattr(socket, "TCP_INFO"):
        threading.Thread(target=_watch, args=(gate, port, threads), name="stuck-requests", daemon=True).start()


def _watch(gate: Gate, port: int, threads: int) -> None:
    while True:
        time.sleep(EVERY)
        began = list(gate.reading.values())
        if len(began) > threads * 3 // 4:
            limit = UNDER_PRESSURE
        elif began and time.monotonic() - min(began) > BODY_WITHIN:
            limit = HEAD_WITHIN + BODY_WITHIN
        else:
            continue
        if ended := end_silent(port, limit):
            log.warning("server.ended_stuck_connections", connections=ended, bodies_awaited=len(began))


def end_silent(port: int, limit: float) -> int:
    """End the connections to ``port`` on which nothing was sent for ``limit`` seconds; return how many.

    A connection counts from when it was accepted. Every request ends well within the limit, and an idle
    connection is closed by then, so what is left has sent a head and not its body.
    """
    ended = 0
    for connection in served_connections(port):
        with contextlib.suppress(OSError), connection:
            if silent_for(connection) > limit:
                connection.shutdown(socket.SHUT_RDWR)
                ended += 1
    return ended


def served_connections(port: int) -> Iterator[socket.socket]:
    """Yield a copy of each socket of this process that is bound to ``port``; closing a copy changes nothing."""
    seen: set[str] = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            what = os.readlink(f"/proc/self/fd/{name}")
            if what in seen or not what.startswith("socket:"):  # a copy may get a number that is still to come
                continue
            seen.add(what)
            copy = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # closed meanwhile
            continue
        try:
            served = copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getsockname()[1] == port
        except OSError:
            served = False
        if served:
            yield copy
        else:
            copy.close()


def silent_for(connection: socket.socket) -> float:
    """Return the seconds since something was last sent on an open connection; 0 when it is not open.

    :raises OSError: when it is no TCP connection any more
    """
    facts = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
    if facts[0] != ESTABLISHED:
        return 0.0
    return float(struct.unpack_from("=I", facts, LAST_DATA_SENT)[0]) / 1000
