"""A thousand slow connections, and normal users among them."""

from __future__ import annotations

import resource
import selectors
import socket
import threading
import time
from contextlib import suppress

import pytest

from tests.faults.accounts import open_many
from tests.faults.visitors import Visitor

DAWDLERS = 500
"""That send their head slowly, and as many that send their body slowly."""

LAST = 15.0
"""Seconds."""

HEAD = b"POST /us-signin/send-code HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
SLOW_HEAD = HEAD + b"X-Slow: "
SLOW_BODY = HEAD + b"Content-Length: 4096\r\n\r\n{"

pytestmark = [pytest.mark.one_database, pytest.mark.long]


@pytest.fixture(autouse=True)
def many_files():
    """Allow this process to have a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Dawdlers:
    """Connections that send a byte per second, and reconnect when they are closed."""

    def __init__(self, port: int) -> None:
        self.address = ("127.0.0.1", port)
        self.most = 0
        self.came_back = 0
        self._selector = selectors.DefaultSelector()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._dawdle, daemon=True)

    def __enter__(self) -> Dawdlers:
        host = b"127.0.0.1:%d" % self.address[1]
        for beginning in (SLOW_HEAD % host, SLOW_BODY % host):
            for _ in range(DAWDLERS):
                self._come(beginning)
        self.most = len(self._selector.get_map())
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._enough.set()
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _come(self, beginning: bytes) -> None:
        connection = socket.create_connection(self.address, 10)
        connection.sendall(beginning)
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, beginning)

    def _dawdle(self) -> None:
        while not self._enough.wait(1):
            for key, _ in self._selector.select(0):
                self._selector.unregister(key.fileobj)
                key.fileobj.close()
                with suppress(OSError):
                    self._come(key.data)
                    self.came_back += 1
            for key in list(self._selector.get_map().values()):
                with suppress(OSError):
                    key.fileobj.send(b"x")


def test_slow_connections_do_not_slow_other_requests(fresh_database, start, smtp):
    addresses = open_many(fresh_database, 200)
    server = start(fresh_database)
    took: list[float] = []
    statuses = set()
    visitor = Visitor(server.url)
    with Dawdlers(server.port) as dawdlers:
        until, turn = time.monotonic() + LAST, 0
        while time.monotonic() < until:
            turn += 1
            answers = (visitor.get("/us-signin"), visitor.send_code(addresses[turn % len(addresses)]), visitor.get("/"))
            took += [answer.seconds for answer in answers]
            statuses |= {answer.status for answer in answers[:2]}
            time.sleep(0.05)
    assert dawdlers.most == 2 * DAWDLERS
    assert dawdlers.came_back > DAWDLERS / 2, "none of them was shut out"
    assert statuses == {200}
    assert sorted(took)[int(len(took) * 0.99)] < 1
