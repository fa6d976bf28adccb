"""Which requests reach the application, which are answered without it, and which need no thread."""

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
from tests.event_loops import run_coroutine

JSON = [(b"content-type", b"application/json")]


class Application:
    """An application whose requests to ``/held`` last until they are released."""

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
    """An application that releases all requests in the end."""
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
    """Send a body in pieces. With ``stays``, the connection stays open after them, else it is closed."""
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
    run_coroutine(scene)


async def hold_all_threads(answering: WsgiAdapter, count: int) -> list[asyncio.Task[Answer]]:
    """Occupy every thread with a request that doesn't end."""
    held = [asyncio.create_task(ask(answering, "/held")) for _ in range(count)]
    await asyncio.sleep(0.1)
    return held


def test_complete_body_reaches_the_app(application):
    async def scene() -> None:
        answer = await ask(WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100), pieces=[b"wh", b"", b"ole"])
        assert (answer.status, answer.body, answer.headers) == (200, b"whole", {"X-Answers": "yes"})

    play(scene())


def test_truncated_or_chunked_body_is_rejected(application):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        assert (await ask(answering, pieces=[b"half"], announced=8)).status == 400
        assert (await ask(answering, headers=[(b"transfer-encoding", b"chunked")])).status == 411

    play(scene())


def test_body_timeout_returns_408_and_occupies_no_thread(application, monkeypatch):
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


def test_oversized_body_is_not_read(application):
    async def scene() -> None:
        answer = await ask(WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=4), pieces=[b"large"], stays=True)
        assert (answer.status, answer.body) == (200, b""), "the application sees its length, and says no"

    play(scene())


@pytest.mark.parametrize(
    "headers",
    [[(b"host", b"evil.example")], [(b"host", b"login.example.com")], [(b"content-length", b"7")]],
    ids=["two hosts", "one host twice", "two lengths"],
)
def test_request_with_duplicate_host_or_length_is_rejected(application, headers):
    async def scene() -> None:
        answer = await ask(WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=4), headers=headers)
        assert answer.status == 400

    play(scene())


def test_adapter_errors_carry_the_configured_headers(application):
    async def scene() -> None:
        headers = [("Content-Security-Policy", "default-src 'none'")]
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100, headers=headers)
        answer = await ask(answering, pieces=[b"{"], announced=8, headers=JSON)
        assert answer.headers.items() >= {*headers, ("Connection", "close"), ("Content-Type", "application/json")}
        assert json.loads(answer.body)["response"]["error_codes"] == ["body_incomplete"]

    play(scene())


def test_stalled_threads_make_requests_fail_fast_with_503(application, monkeypatch):
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


def test_waiting_request_uses_a_released_thread(application):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        await hold_all_threads(answering, 1)
        threading.Timer(0.3, application.let_go.set).start()
        assert (await ask(answering)).status == 200

    play(scene())


def test_adapter_recovers_after_a_stall(application, monkeypatch):
    monkeypatch.setattr(thread_pool, "STALL_LIMIT", 0.1)

    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        held = await hold_all_threads(answering, 1)
        assert (await ask(answering)).status == 503
        application.let_go.set()
        await held[0]
        assert (await ask(answering)).status == 200

    play(scene())


def test_late_event_loop_is_not_mistaken_for_a_stall(application):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        await hold_all_threads(answering, 1)
        waiting = asyncio.create_task(ask(answering))
        await asyncio.sleep(0.05)
        threading.Timer(0.1, application.let_go.set).start()
        time.sleep(thread_pool.STALL_LIMIT + 0.3)
        assert (await waiting).status == 200

    play(scene())


def test_healthz_answers_while_all_threads_are_busy(application):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100)
        await hold_all_threads(answering, 1)
        assert (await ask(answering, "/healthz")).status == 200
        application.let_go.set()

    play(scene())


@pytest.mark.parametrize(("path", "answers"), [("/auth/healthz", True), ("/healthz", True), ("/other/healthz", False)])
def test_healthz_answers_below_the_sub_path(application, path, answers):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 1), max_body=100, sub_path="/auth")
        await hold_all_threads(answering, 1)
        asked = asyncio.create_task(ask(answering, path))
        await asyncio.sleep(0.05)
        assert asked.done() is answers
        application.let_go.set()
        assert (await asked).status == 200

    play(scene())


def test_quick_requests_run_one_at_a_time():
    async def scene() -> None:
        answering = WsgiAdapter(Counting(), pool=ThreadPool(1, 4), max_body=100)
        await asyncio.gather(*(ask(answering) for _ in range(8)))
        assert answering.application.most == 1

    play(scene())


def test_slow_requests_do_not_delay_others_for_long(application):
    async def scene() -> None:
        answering = WsgiAdapter(application, pool=ThreadPool(1, 4), max_body=100)
        await hold_all_threads(answering, 3)
        began = time.monotonic()
        assert (await ask(answering)).status == 200
        assert (await ask(answering)).status == 200
        assert time.monotonic() - began < 0.3
        application.let_go.set()

    play(scene())


def test_app_error_returns_500_and_releases_the_thread():
    def fails(environ, start_response):
        raise RuntimeError("on purpose")

    async def scene() -> None:
        answering = WsgiAdapter(fails, pool=ThreadPool(1, 1), max_body=100)
        for _ in range(2):
            assert (await ask(answering)).status == 500

    play(scene())


def test_rejected_requests_are_counted_in_the_log(application, monkeypatch):
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


def test_connection_header_is_not_passed_to_the_app():
    """A proxy's question about a WebSocket is an ordinary request: with ``Connection: Upgrade`` none would match it."""
    headers = [(b"host", b"x"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    scope = {"method": "GET", "path": "/", "raw_path": b"/a%2Fb", "query_string": b"", "http_version": "1.1",
             "scheme": "http", "server": None, "client": None, "headers": headers}  # fmt: skip
    environ = asgi.environ_of(scope)
    assert "HTTP_CONNECTION" not in environ
    assert environ["HTTP_UPGRADE"] == "websocket"
    assert (environ["PATH_INFO"], environ["RAW_URI"]) == ("/a/b", "/a%2Fb")
