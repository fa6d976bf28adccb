"""What reaches the application, what is answered without it, and who needs no thread."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

import pytest
import structlog

from app.serving import asgi, thread_pool
from app.serving.asgi import WsgiAdapter
from app.serving.thread_pool import ThreadPool

JSON = [(b"content-type", b"application/json")]


class Application:
    """An application whose requests to ``/held`` last until it lets them go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/held":
            self.let_go.wait(10)
        start_response("200 OK", [("X-Answers", "yes")])
        return [environ["wsgi.input"].read()]


class Counting:
    """An application that knows how many were in it at most at a time."""

    most = 0

    def __init__(self) -> None:
        self.inside = 0

    def __call__(self, environ, start_response):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.001)
        self.inside -= 1
        start_response("200 OK", [])
        return [b""]


class Answer:
    """What a request was answered with."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.status = sent[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        self.body = sent[1]["body"]


@pytest.fixture
def application() -> Iterator[Application]:
    """An application that lets everybody go in the end."""
    made = Application()
    yield made
    made.let_go.set()


async def ask(
    answering: WsgiAdapter,
    path: str = "/",
    pieces: Sequence[bytes] = (),
    headers: Sequence[tuple[bytes, bytes]] = (),
    *,
    announced: int | None = None,
    stays: bool = False,
) -> Answer:
    """Ask with a body in pieces. With ``stays`` the connection stays open after them, else it ends."""
    length = sum(map(len, pieces)) if announced is None else announced
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", "8000"),
        "client": ("192.0.2.7", "1234"),
        "headers": [(b"host", b"login.example.com"), (b"content-length", str(length).encode()), *headers],
    }
    left = list(pieces)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": True}
        if stays:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await answering(scope, receive, send)
    return Answer(sent)


def play(scene: Coroutine[Any, Any, None]) -> None:
    """Run a scene in an event loop of its own."""
    asyncio.run(scene)


async def hold_all_threads(answering: WsgiAdapter, count: int) -> list[asyncio.Task[Answer]]:
    """Take every thread, each with a request that does not end."""
    held = [asyncio.create_task(ask(answering, "/held")) for _ in range(count)]
    await asyncio.sleep(0.1)
    return held


def test_a_whole_body_reaches_the_application(application):
    async def scene() -> None:
        answer = await ask(WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100), pieces=[b"wh", b"", b"ole"])
        assert (answer.status, answer.body, answer.headers) == (200, b"whole", {"X-Answers": "yes"})

    play(scene())


def test_half_a_body_does_not_reach_the_application(application):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        assert (await ask(answering, pieces=[b"half"], announced=8)).status == 400
        assert (await ask(answering, headers=[(b"transfer-encoding", b"chunked")])).status == 411

    play(scene())


def test_a_body_that_does_not_come_is_refused_and_holds_no_thread(application, monkeypatch):
    monkeypatch.setattr(asgi, "BODY_TIMEOUT", 0.3)

    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        slow = [asyncio.create_task(ask(answering, pieces=[b"h"], announced=8, stays=True)) for _ in range(50)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert (await ask(answering)).status == 200
        assert time.monotonic() - began < 0.2
        assert {(await each).status for each in slow} == {408}

    play(scene())


def test_a_body_that_is_too_large_is_not_read(application):
    async def scene() -> None:
        answer = await ask(WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=4), pieces=[b"large"], stays=True)
        assert (answer.status, answer.body) == (200, b""), "the application sees its length, and says no"

    play(scene())


@pytest.mark.parametrize(
    "headers",
    [[(b"host", b"evil.example")], [(b"host", b"login.example.com")], [(b"content-length", b"7")]],
    ids=["two hosts", "one host twice", "two lengths"],
)
def test_a_request_that_means_two_things_is_refused(application, headers):
    async def scene() -> None:
        answer = await ask(WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=4), headers=headers)
        assert answer.status == 400

    play(scene())


def test_what_is_answered_here_carries_the_headers_that_were_given(application):
    async def scene() -> None:
        headers = [("Content-Security-Policy", "default-src 'none'")]
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100, headers=headers)
        answer = await ask(answering, pieces=[b"{"], announced=8, headers=JSON)
        assert answer.headers.items() >= {*headers, ("Connection", "close"), ("Content-Type", "application/json")}
        assert json.loads(answer.body)["response"]["error_codes"] == ["body_incomplete"]

    play(scene())


def test_nobody_waits_for_threads_that_do_not_come_back(application, monkeypatch):
    monkeypatch.setattr(thread_pool, "STALL_LIMIT", 0.4)

    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(2, 2), max_body=100)
        await hold_all_threads(answering, 2)
        began = time.monotonic()
        answer = await ask(answering)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        assert time.monotonic() - began < 1
        began = time.monotonic()
        assert (await ask(answering)).status == 503
        assert time.monotonic() - began < 0.1, "known to stand still"
        application.let_go.set()

    play(scene())


def test_a_thread_that_comes_back_is_taken(application):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        await hold_all_threads(answering, 1)
        threading.Timer(0.3, application.let_go.set).start()
        assert (await ask(answering)).status == 200

    play(scene())


def test_after_a_standstill_it_goes_on(application, monkeypatch):
    monkeypatch.setattr(thread_pool, "STALL_LIMIT", 0.1)

    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        held = await hold_all_threads(answering, 1)
        assert (await ask(answering)).status == 503
        application.let_go.set()
        await held[0]
        assert (await ask(answering)).status == 200

    play(scene())


def test_a_loop_that_is_late_does_not_take_threads_for_lost(application):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        await hold_all_threads(answering, 1)
        waiting = asyncio.create_task(ask(answering))
        await asyncio.sleep(0.05)
        threading.Timer(0.1, application.let_go.set).start()
        time.sleep(thread_pool.STALL_LIMIT + 0.3)
        assert (await waiting).status == 200

    play(scene())


def test_a_process_that_waits_for_its_database_says_that_it_lives(application):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        await hold_all_threads(answering, 1)
        assert (await ask(answering, "/healthz")).status == 200
        application.let_go.set()

    play(scene())


@pytest.mark.parametrize(("path", "answers"), [("/auth/healthz", True), ("/healthz", True), ("/other/healthz", False)])
def test_below_a_path_it_says_so_too(application, path, answers):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100, sub_path="/auth")
        await hold_all_threads(answering, 1)
        asked = asyncio.create_task(ask(answering, path))
        await asyncio.sleep(0.05)
        assert asked.done() is answers
        application.let_go.set()
        assert (await asked).status == 200

    play(scene())


def test_one_at_a_time_is_worked_on_while_each_is_quick():
    async def scene() -> None:
        answering = WsgiAdapter(Counting(), pool=ThreadPool(1, 4), max_body=100)
        await asyncio.gather(*(ask(answering) for _ in range(8)))
        assert answering.application.most == 1

    play(scene())


def test_who_lingers_keeps_nobody_waiting_for_long(application):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 4), max_body=100)
        await hold_all_threads(answering, 3)
        began = time.monotonic()
        assert (await ask(answering)).status == 200
        assert (await ask(answering)).status == 200
        assert time.monotonic() - began < 0.3
        application.let_go.set()

    play(scene())


def test_an_application_that_fails_is_a_500_and_gives_its_thread_back():
    def fails(environ, start_response):
        raise RuntimeError("on purpose")

    async def scene() -> None:
        answering = WsgiAdapter(fails, pool=ThreadPool(1, 1), max_body=100)
        for _ in range(2):
            assert (await ask(answering)).status == 500

    play(scene())


def test_how_many_were_turned_away_stands_in_the_log(application, monkeypatch):
    monkeypatch.setattr(thread_pool, "WAIT_LIMIT", 0.05)
    monkeypatch.setattr(asgi, "BUSY_REPORT_DELAY", 0.5)

    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=1000)
        held = await hold_all_threads(answering, 1)
        for _ in range(2):
            assert {(await each).status for each in [asyncio.create_task(ask(answering)) for _ in range(3)]} == {503}
            await asyncio.sleep(0.6)
        application.let_go.set()
        await asyncio.gather(*held)

    with structlog.testing.capture_logs() as lines:
        play(scene())
    assert [(line["event"], line["turned_away"]) for line in lines] == [("server.busy", 3), ("server.busy", 3)]
    assert "flask doctor" in lines[0]["remedy"]


def test_what_is_about_the_connection_does_not_reach_the_application():
    """A proxy's question about a WebSocket is an ordinary request: with ``Connection: Upgrade`` none would match it."""
    headers = [(b"host", b"x"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    scope = {"method": "GET", "path": "/", "raw_path": b"/a%2Fb", "query_string": b"", "http_version": "1.1",
             "scheme": "http", "server": None, "client": None, "headers": headers}  # fmt: skip
    environ = asgi.environ_of(scope)
    assert "HTTP_CONNECTION" not in environ
    assert environ["HTTP_UPGRADE"] == "websocket"
    assert (environ["PATH_INFO"], environ["RAW_URI"]) == ("/a/b", "/a%2Fb")
