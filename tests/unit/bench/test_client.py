"""The benchmark's load client."""

from __future__ import annotations

import smtplib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from bench.client import Answer, Done, Pause, Script, drive, joined_chunks
from bench.mailbox import Mailbox
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


def test_each_complete_response_counts_as_one_operation(address):
    tally = drive(address, [ask(200) for _ in range(4)], 0.2)
    assert len(tally.times) > 4
    assert tally.errors == []
    assert 0 < tally.percentile(0.5) <= tally.percentile(0.99)


def test_unexpected_response_is_counted_separately(address):
    tally = drive(address, [ask(404)], 0.1)
    assert tally.times == []
    assert set(tally.errors) == {"another answer"}


def test_deleted_cookies_are_not_kept():
    assert Answer(200, OK.partition(b"\r\n\r\n")[0], b"").cookies() == {"a": "b"}


@pytest.mark.parametrize("length", range(len(b"2\r\nok\r\n3;a=b\r\n\r\n!\r\n0\r\n\r\n")))
def test_chunked_body_is_complete_only_with_its_last_chunk(length):
    data = b"2\r\nok\r\n3;a=b\r\n\r\n!\r\n0\r\n\r\n"
    assert joined_chunks(data[:length]) is None
    assert joined_chunks(data + data[:length]) == (b"ok\r\n!", data[:length])


def test_pause_ends_on_its_condition_and_is_not_timed(address):
    def wait() -> Script:
        yield get("/")
        over = time.perf_counter() + 0.2
        yield Pause(lambda: time.perf_counter() > over)
        yield Done()
        while True:
            yield get("/")

    tally = drive(address, [wait()], 1.0)
    assert len(tally.times) == 1
    assert tally.times[0] < 0.2


def test_pause_ends_after_its_maximum_time(address):
    def wait() -> Script:
        yield get("/")
        yield Pause(lambda: False, most=0.05)
        yield Done(False, "nothing came")
        while True:
            yield get("/")

    assert drive(address, [wait()], 0.5).errors == ["nothing came"]


def test_mailbox_returns_the_code_of_the_newest_mail():
    mailbox = Mailbox()
    try:
        for code in ("123456", "BCDF-GHJK"):
            send(mailbox.port, f"Your code:\r\n\r\n{code}\r\n")
        assert mailbox.until_mail("ada@example.com").ready()
        assert mailbox.pop_code("ada@example.com") == "BCDF-GHJK"
        assert mailbox.pop_code("ada@example.com") == ""
        assert mailbox.pop_code("bob@example.com") == ""
    finally:
        mailbox.close()


def send(port: int, text: str) -> None:
    """Send a mail to Ada as soon as the mail server listens."""
    for _ in range(500):
        try:
            with smtplib.SMTP("127.0.0.1", port) as server:
                server.sendmail("no-reply@example.com", ["ada@example.com"], f"Subject: Code\r\n\r\n{text}")
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    pytest.fail("the mail server does not listen")
