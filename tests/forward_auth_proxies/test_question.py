"""What each proxy asks, and how it handles unusual responses of Latchkey, with a stub in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.forward_auth_proxies.recipes import OLDER, RECIPES, WIKI, Places, running
from tests.forward_auth_proxies.toy_app import Reached, ToyApp
from tests.forward_auth_proxies.visitor import PAGE, Visitor
from tests.serving import free_port

pytestmark = pytest.mark.one_database


@dataclass
class Asked:
    """A proxy, and the stand-in that it asks."""

    kind: str
    visitor: Visitor
    latchkey: ToyApp

    @property
    def questions(self) -> list[Reached]:
        """The requests so far."""
        return [each for each in self.latchkey.reached if each.target.startswith("/gate/")]


@pytest.fixture(scope="module")
def stand_in() -> Iterator[ToyApp]:
    """A stub in Latchkey's place, which records the requests."""
    made = ToyApp()
    yield made
    made.close()


@pytest.fixture(scope="module", params=[*RECIPES, *OLDER])
def running_proxy(request, stand_in, toy, tmp_path_factory) -> Iterator[Asked]:
    """Each proxy, between the toy app and the stand-in."""
    places = Places(free_port(), stand_in.port, toy.port, tmp_path_factory.mktemp(request.param))
    with running(request.param, places):
        yield Asked(request.param, Visitor(places.port, WIKI), stand_in)


@pytest.fixture
def proxy(running_proxy, reached) -> Asked:
    """The same, with nothing asked yet. Whatever is asked, it may pass, and no identity header says of whom."""
    running_proxy.latchkey.reached.clear()
    running_proxy.latchkey.answer = (200, {}, "")
    return running_proxy


def test_check_request_has_the_visitors_headers_but_no_body(proxy, reached):
    sent = {
        "Cookie": "a=b; c=d", "Authorization": "Bearer lkp_x", "Authentication-Token": "lkp_y", "Accept": "text/html",
        "Accept-Language": "de", "User-Agent": "toy/1", "Origin": f"https://{WIKI}", "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty",
    }  # fmt: skip
    assert proxy.visitor.ask("/notes?x=%2F", sent, method="POST", body="note=milk" * 9000).status == 200
    chunked = [*sent.items(), ("Transfer-Encoding", "chunked")]
    assert proxy.visitor.ask("/notes?x=%2F", chunked, method="POST", tail="4\r\nmilk\r\n0\r\n\r\n").status == 200
    assert len(proxy.questions) == 2
    for question in proxy.questions:
        for name, value in sent.items():
            assert question.all_of(name) == [value], name
        assert question.body == ""
        assert question.all_of("Content-Length") in ([], ["0"])
        assert question.all_of("Transfer-Encoding") == []
        assert question.all_of("X-Forwarded-For") == ["127.0.0.77"]
    assert len(reached) == 2


def test_check_request_names_url_and_method_once_despite_spoofing(proxy):
    spoofed = {"X-Original-URL": f"https://{WIKI}/public/", "X-Original-Method": "HEAD", "X-Forwarded-Uri": "/public/",
               "X-Forwarded-Method": "HEAD", "X-Forwarded-Host": "open.example.com"}  # fmt: skip
    proxy.visitor.ask("/notes/a%20b?x=%2F&y=1", PAGE | spoofed, method="POST", body="x")
    (question,) = proxy.questions
    if proxy.kind.startswith("nginx"):
        assert question.target == "/gate/nginx"
        assert question.all_of("X-Original-URL") == [f"https://{WIKI}/notes/a%20b?x=%2F&y=1"]
        assert question.all_of("X-Original-Method") == ["POST"]
    elif proxy.kind.startswith("envoy"):
        assert (question.method, question.target) == ("POST", "/gate/envoy/notes/a%20b?x=%2F&y=1")
        assert question.all_of("Host") == [WIKI]
    else:
        assert question.target == "/gate/forward" or proxy.kind.startswith("traefik")
        said = [question.all_of(f"X-Forwarded-{name}") for name in ("Host", "Method", "Uri", "Proto")]
        assert said == [[WIKI], ["POST"], ["/notes/a%20b?x=%2F&y=1"], ["https"]]


def test_check_request_identifies_a_websocket(proxy):
    assert proxy.visitor.socket("/socket", {})[1] == "hello"
    (question,) = proxy.questions
    assert question.all_of("Sec-WebSocket-Version") == ["13"]


def test_spoofed_identity_is_dropped_even_without_identity_in_the_response(proxy, reached):
    claims = [(f"Remote{mark}{each}", "spoofed") for mark in "-_" for each in ("User", "Email", "Name", "Groups")]
    assert proxy.visitor.ask("/notes", [*PAGE.items(), *claims]).status == 200
    assert "spoofed" not in str(reached[-1].headers)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_error_response_of_latchkey_reaches_the_visitor(proxy, reached, status, method):
    proxy.latchkey.answer = (status, {"Retry-After": "7"}, "told by Latchkey")
    answer = proxy.visitor.ask("/notes", method=method, body="x" if method == "POST" else "")
    if proxy.kind.startswith("envoy") and status >= 500:  # it takes that for a fault, and has no page for it
        assert (answer.status, answer.body) == (503, "")
    else:
        assert (answer.status, answer.body) == (status, "told by Latchkey")
        assert answer.headers["Retry-After"] == "7"
    assert {question.body for question in proxy.questions} == {""}
    assert reached == []
