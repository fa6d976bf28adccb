"""Neither responses nor their timing reveal who has an account; and the command that measures this."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from app.crypto.secrets import token
from tests.factories import People
from tests.faults.accounts import application_on

pytestmark = pytest.mark.both_databases

PEOPLE = {"known": {}, "unconfirmed": {"confirmed": False}, "disabled": {"disabled": True}}
EACH = 12


@pytest.fixture
def flask(app):
    """Runs ``flask selftest enumeration``."""
    return lambda *words: app.test_cli_runner().invoke(args=["selftest", "enumeration", *words])


@pytest.mark.long
def test_running_service_does_not_reveal_whether_accounts_exist(database, databases, make_server, flask):
    fresh = databases.fresh(database.kind)
    words = []
    with application_on(fresh, log_level="warning") as opening:
        for name, how in PEOPLE.items():
            for number in range(EACH):
                address = f"{name[:4]}{number:02}@example.com"
                People(opening).open(email=address, **how)
                words += [f"--{name}", address]
    server = make_server(fresh, LATCHKEY_LIMITS="off", LATCHKEY_LOG_LEVEL="warning")
    result = flask("--url", server.url, "--requests", "150", "--register", "--median-ms", "10", *words)
    assert result.exit_code == 0, result.output
    assert [line.split(":")[0] for line in result.output.splitlines() if not line.startswith(" ")][:3] == [
        "send-code", "sign-in", "register",
    ]  # fmt: skip


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("leak", "told"), [("time", "z"), ("bytes", "unlike"), ("header", "unlike"), ("status", "statuses")]
)
def test_enumeration_check_fails_for_a_leaking_service(flask, leak, told):
    with standing_in(lambda known: LEAKS[leak] if known else None) as url:
        result = flask("--url", url, "--requests", "60", "--known", "ada@example.com")
    assert (result.exit_code, told in result.output) == (1, True), result.output


@pytest.mark.one_database
def test_enumeration_check_passes_for_a_service_without_leaks(flask):
    with standing_in(lambda known: None) as url:
        result = flask("--url", url, "--requests", "60", "--known", "ada@example.com")
    assert result.exit_code == 0, result.output


@pytest.mark.one_database
def test_enumeration_check_exits_2_if_it_cannot_measure(flask, live_server):
    limited = flask("--url", live_server.url, "--requests", "60", "--known", "ada@example.com")
    nowhere = flask("--url", "http://127.0.0.1:9", "--known", "ada@example.com")
    assert (limited.exit_code, nowhere.exit_code) == (2, 2)
    assert "LATCHKEY_LIMITS=off" in limited.output
    assert "doesn't answer" in nowhere.output


LEAKS = {
    "time": {"pause": 0.003}, "bytes": {"body": {"sent": True}}, "header": {"headers": [("X-Known", "yes")]},
    "status": {"status": "202 Accepted"},
}  # fmt: skip


class Silent(WSGIRequestHandler):
    """Writes no log."""

    protocol_version = "HTTP/1.0"

    def log_message(self, *words: object) -> None:
        """Log nothing."""


@contextmanager
def standing_in(leak: Callable[[bool], dict | None]) -> Iterator[str]:
    """Serve a stub that answers every request, and reveals whether it is about ada."""

    def answer(environ, start_response):
        asked = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        more = leak(b"ada@example.com" in asked) or {}
        time.sleep(more.get("pause", 0))
        body = json.dumps({"challenge": token()} | more.get("body", {})).encode()
        start_response(more.get("status", "200 OK"), [("Content-Length", str(len(body))), *more.get("headers", [])])
        return [body]

    server = make_server("127.0.0.1", 0, answer, handler_class=Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
