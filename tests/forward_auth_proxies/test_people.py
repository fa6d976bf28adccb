"""People and API clients at an app, behind each proxy of docs/integrate as printed."""

from __future__ import annotations

import base64
import json

import pytest

from tests.forward_auth_proxies.recipes import LOGIN, WIKI
from tests.forward_auth_proxies.visitor import PAGE, PROGRAM
from tests.sinks import code_in

pytestmark = pytest.mark.one_database

DEEP = f"https://{WIKI}/notes/a%20b?x=1&y=%C3%A9"
SOCKET = """() => new Promise((done) => {
  const socket = new WebSocket("wss://wiki.example.com/socket");
  socket.onopen = () => socket.send("hello");
  socket.onmessage = (message) => done(message.data);
  socket.onerror = () => done("refused");
})"""


def shown(page) -> dict:
    """Return what the toy app says that it got."""
    return json.loads(page.locator("body").inner_text())


def opened(reached) -> list[str]:
    """Return what reached the app, but for the icon that a browser looks for."""
    return [each.target for each in reached if each.target != "/favicon.ico"]


@pytest.mark.parametrize("front", ["nginx"], indirect=True)  # the others begin signed in: its pages are the same
def test_visitor_signs_in_and_returns_to_the_requested_page(page, people_of, mail_of, reached):
    people_of(email="bo@example.com", username="bo", methods=["email"])
    page.goto(DEEP)
    assert page.url.startswith(f"https://{LOGIN}/us-signin?next=")
    page.get_by_label("Email, phone or username").fill("bo@example.com")
    page.get_by_role("button", name="Email me a code").click()
    page.get_by_label("Your code").wait_for()
    page.get_by_label("Your code").fill(code_in(mail_of("bo@example.com")))
    page.wait_for_url(DEEP)
    assert opened(reached) == ["/notes/a%20b?x=1&y=%C3%A9"]
    assert shown(page)["environ"]["REMOTE_USER"] == "bo"


def test_signed_in_user_uses_the_app_and_signs_out(page, session_token, reached):
    cookie = {"name": "__Host-latchkey_session", "value": session_token, "url": f"https://{LOGIN}", "secure": True}
    page.context.add_cookies([cookie])
    answer = page.goto(DEEP)
    assert page.url == DEEP, (answer.status, answer.headers, page.locator("body").inner_text())
    assert opened(reached) == ["/notes/a%20b?x=1&y=%C3%A9"]
    got = shown(page)["environ"]
    named = [got[f"REMOTE_{each}"] for each in ("USER", "EMAIL", "NAME", "GROUPS")]
    assert named == ["ada", "ada@example.com", "ada", "staff"]
    assert got["HOST"] == WIKI
    page.goto(f"https://{WIKI}/form")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"https://{WIKI}/notes")
    assert (shown(page)["method"], shown(page)["body"]) == ("POST", "note=milk")
    assert page.evaluate(SOCKET) == "hello"
    page.goto(f"https://{WIKI}/.latchkey/logout")
    assert page.url.startswith(f"https://{LOGIN}/gate/signed-out")
    before = len(reached)
    page.goto(f"https://{WIKI}/public/x")
    assert "REMOTE_USER" not in shown(page)["environ"]
    assert page.evaluate(SOCKET) == "refused"
    assert len(opened(reached[before:])) == 1


def test_signed_out_visitor_is_redirected_before_reaching_the_app(stranger, reached):
    answer = stranger.ask("/notes/a%20b?x=1")
    assert answer.status == 302
    assert answer.headers["Location"] == f"https://{WIKI}/.latchkey/start?to=%2Fnotes%2Fa%2520b%3Fx%3D1"
    assert stranger.ask("/notes", method="HEAD").status == 302
    assert reached == []


def test_signed_out_post_gets_401_saying_nothing_was_sent(stranger, reached):
    for method in ("POST", "PUT", "DELETE", "PROPFIND"):
        answer = stranger.ask("/notes", method=method, body="note=milk" * 1000)
        assert answer.status == 401, method
        assert "Location" not in answer.headers
        assert "Sign in in a new tab" in answer.body
        assert f"https://{WIKI}/.latchkey/start" in answer.body
    assert "text/html" in answer.headers["Content-Type"]
    answer = stranger.ask("/notes", PROGRAM, method="POST", body="note=milk")
    assert (answer.status, answer.codes) == (401, ["app_nothing_sent"])
    assert reached == []


def test_request_body_reaches_the_app_unchanged(signed_in, reached):
    body = "note=milk" * 20_000
    for method in ("POST", "PUT", "PROPFIND"):
        assert signed_in.ask("/notes", method=method, body=body).status == 200
        assert (reached[-1].method, reached[-1].body) == (method, body)
    chunked = [*PAGE.items(), ("Transfer-Encoding", "chunked")]
    assert signed_in.ask("/public/notes", chunked, method="POST", tail="4\r\nmilk\r\n0\r\n\r\n").status == 200
    assert reached[-1].method == "POST"


def test_cross_site_post_is_rejected(signed_in, reached):
    answer = signed_in.ask("/notes", PROGRAM | {"Origin": "https://evil.example"}, method="POST", body="note=milk")
    assert (answer.status, answer.codes) == (403, ["app_cross_site"])
    answer = signed_in.ask("/notes", PROGRAM | {"Sec-Fetch-Site": "same-site"}, method="POST", body="note=milk")
    assert (answer.status, answer.codes) == (403, ["app_cross_site"])
    assert reached == []


def test_denied_request_gets_html_page_or_json_error(signed_in, stranger, reached):
    for visitor in (signed_in, stranger):
        page, program = visitor.ask("/closed/x"), visitor.ask("/closed/x", PROGRAM)
        assert (page.status, program.status) == (403, 403)
        assert "Wiki" in page.body
        assert program.codes == ["app_part_closed"]
    answer = stranger.ask("/notes", PROGRAM)
    assert (answer.status, answer.codes) == (401, ["app_sign_in_required"])
    assert reached == []


def test_other_latchkey_paths_on_the_app_host_return_404(stranger, signed_in, reached):
    for visitor in (stranger, signed_in):
        for target in ("/.latchkey/check", "/.latchkey/gate/nginx", "/.latchkey/us-signin"):
            assert visitor.ask(target).status == 404, target
    assert reached == []


def test_401_of_the_app_itself_is_passed_through(signed_in):
    answer = signed_in.ask("/unauthorized")
    assert (answer.status, answer.body) == (401, "the app's own 401")


def sent_by_a_program(token: str) -> list[dict[str, str]]:
    """Return each way to send a token."""
    basic = {"Authorization": "Basic " + base64.b64encode(b"ada:secret").decode()}
    return [
        {"Authorization": f"Bearer {token}"},
        {"authorization": f"bearer   {token}"},
        {"AUTHORIZATION": f"BEARER {token} "},
        {"Authentication-Token": token},
        {"authentication-token": token} | basic,
    ]


@pytest.mark.parametrize("way", range(5))
@pytest.mark.parametrize("target", ["/notes", "/public/x"])
def test_api_token_is_accepted_and_not_forwarded_to_the_app(stranger, reached, api_token, way, target):
    headers = PROGRAM | sent_by_a_program(api_token)[way]
    answer = stranger.ask(target, headers, method="POST", body="{}")
    assert answer.status == 200, answer.body
    (got,) = reached
    assert (got.as_environ["REMOTE_USER"], got.body) == ("ada", "{}")
    assert "lkp_" not in str(got.headers)
    assert got.as_environ.get("AUTHORIZATION", "").startswith("Basic ") is (way == 4)


def test_invalid_api_token_is_rejected(stranger, reached, api_token):
    answer = stranger.ask("/notes", PROGRAM | {"Authorization": f"Bearer {api_token[:-1]}x"})
    assert (answer.status, answer.codes) == (401, ["app_token_refused"])
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert reached == []


def test_api_token_beside_another_authorization_header_is_not_forwarded(signed_in, reached, api_token):
    basic = ("Authorization", "Basic YWRhOnNlY3JldA==")
    for lines in ([basic, ("Authorization", f"Bearer {api_token}")], [("Authorization", f"Bearer {api_token}"), basic]):
        assert signed_in.ask("/notes", [*PAGE.items(), *lines]).status < 500
    assert "lkp_" not in str([each.headers for each in reached])


def test_authorization_header_of_the_app_is_forwarded(signed_in, reached):
    for value in ("Basic YWRhOnNlY3JldA==", "Bearer of-the-app", "Digest lkp_x"):
        assert signed_in.ask("/notes", PAGE | {"Authorization": value}).status == 200
        assert reached[-1].all_of("Authorization") == [value]


def test_protected_websocket_requires_sign_in_and_same_origin(signed_in, stranger, reached, api_token):
    assert signed_in.socket("/socket", {"Origin": f"https://{WIKI}"})[1] == "hello"
    assert reached[-1].as_environ["REMOTE_USER"] == "ada"
    assert stranger.socket("/socket", PROGRAM | {"Authorization": f"Bearer {api_token}"})[1] == "hello"
    assert "lkp_" not in str(reached[-1].headers)
    assert stranger.socket("/public/socket", {})[1] == "hello"
    del reached[:]
    refused, said = stranger.socket("/socket", {"Origin": f"https://{WIKI}"})
    assert (refused.status, said) == (401, "")
    for origin in ("https://evil.example", "null", f"http://{WIKI}"):
        refused, said = signed_in.socket("/socket", PROGRAM | {"Origin": origin})
        assert (refused.status, said, refused.codes) == (403, "", ["app_cross_site"])
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket", "Origin": f"https://{WIKI}"}
    assert signed_in.socket("/socket", foreign)[0].status == 403
    assert reached == []
