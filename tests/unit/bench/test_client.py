"""The benchmark's load client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from bench.client import Answer, Done, Script, drive
from bench.messages import get

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=; Max-Age=0\r\n\r\nok"


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """Where a server answers every request, in two pieces."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer(client: socket.socket) -> None:
            with client:
                while client.recv(65536):
                    client.sendall(OK[:10])
                    client.sendall(OK[10:])

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()


def ask(status: int) -> Script:
    while True:
        answer = yield get("/")
        yield Done(bool(answer and answer.status == status and answer.body == b"ok"), "another answer")


def test_each_whole_answer_is_one_operation(address):
    tally = drive(address, [ask(200) for _ in range(4)], 0.2)
    assert len(tally.times) > 4
    assert tally.wrong == []
    assert 0 < tally.percentile(0.5) <= tally.percentile(0.99)


def test_a_wrong_answer_is_told_apart(address):
    tally = drive(address, [ask(404)], 0.1)
    assert tally.times == []
    assert set(tally.wrong) == {"another answer"}


def test_cookies_that_are_taken_away_are_not_kept():
    assert Answer(200, OK.partition(b"\r\n\r\n")[0], b"").cookies() == {"a": "b"}
