"""Headers and cookies of every response, whatever its status."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.functional.web.conftest import addresses
from tests.signed_in import sign_in
from tests.wire import Wire

pytestmark = pytest.mark.one_database

PRODUCTION = {
    "environment": "production",
    "public_url": "https://id.example.com",
    "mail_url": "smtp+starttls://127.0.0.1:2525",
    "sms_url": "https://sms.example.com/messages",
}

FOR_EVERYBODY = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/oauth/jwks")


@pytest.fixture
def production(make_app) -> Flask:
    """The application as an operator runs it."""
    return make_app(**PRODUCTION)


def answers(app: Flask, host: str) -> Iterator[TestResponse]:
    """Yield a response of every path, and of every status that is possible without a bug."""
    at = {"Host": host}
    for accept in ("text/html", "application/json"):
        client = app.test_client()
        headers = at | {"Accept": accept}
        for path in addresses(app, "GET"):
            yield client.get(path, headers=headers)
        for path in addresses(app, "POST"):
            yield client.post(path, headers=headers)
        yield client.get("/nothing", headers=headers)
        yield client.get("/static/nothing.css", headers=headers)
        yield client.delete("/us-signin", headers=headers)
        yield client.get("/us-signin", headers=headers | {"Host": "evil.example"})
        yield client.post("/us-signin", data=b"x" * 1_000_000, content_type="application/json", headers=headers)
        yield client.get("/static/app.css", headers=headers)
        yield client.get("/static/app.css", headers=headers | {"Range": "bytes=9999999-"})
        yield client.options("/us-signin", headers=headers)


def is_for_everybody(answer: TestResponse) -> bool:
    """Return whether scripts of any origin may read this, and anyone may cache it."""
    return answer.request.method == "GET" and answer.request.path in FOR_EVERYBODY


def test_every_response_has_security_headers(production):
    seen = set()
    for answer in answers(production, "id.example.com"):
        headers, what = answer.headers, (answer.request.path, answer.status_code)
        seen.add(answer.status_code)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, what
        assert "frame-ancestors 'none'" in policy, what
        assert "base-uri 'none'" in policy, what
        assert "unsafe" not in policy, what
        assert headers["X-Content-Type-Options"] == "nosniff", what
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", what
        assert headers["Referrer-Policy"] in ("same-origin", "no-referrer"), what
        assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains", what
        assert ("Cookie" in headers["Vary"]) != is_for_everybody(answer), what
        assert len(headers["X-Request-Id"]) == 32, what
        assert ("Access-Control-Allow-Origin" in headers) == is_for_everybody(answer), what
        assert "Server" not in headers, what
        assert "X-Powered-By" not in headers, what
    assert seen >= {200, 302, 400, 401, 404, 405, 413, 416}


def test_only_static_and_public_responses_are_cacheable(production):
    for answer in answers(production, "id.example.com"):
        path = answer.request.path
        if path.startswith("/static/") and answer.status_code < 400:
            assert "max-age=31536000" in answer.headers["Cache-Control"]
        elif is_for_everybody(answer):
            assert answer.headers["Cache-Control"] in ("public, max-age=3600", "public, max-age=900")
        else:
            assert answer.headers["Cache-Control"] == "no-store", (path, answer.status_code)


def test_server_errors_have_security_headers(app, monkeypatch):
    import sqlalchemy as sa

    for fault, status in ((ValueError("x"), 500), (sa.exc.OperationalError("", {}, Exception()), 503)):
        monkeypatch.setattr("app.account.views.current_session", raising(fault))
        answer = app.test_client().get("/")
        assert answer.status_code == status
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Request-Id"]


def raising(fault: Exception):
    """Return a function that raises ``fault``."""

    def fail(*_args, **_kwargs):
        raise fault

    return fail


def test_each_page_has_its_own_csp_nonce(client):
    first, second = client.get("/us-signin"), client.get("/us-signin")
    nonces = [answer.headers["Content-Security-Policy"].split("'nonce-")[1].split("'")[0] for answer in (first, second)]
    assert nonces[0] != nonces[1]
    assert all(f'nonce="{nonce}"' in answer.text for nonce, answer in zip(nonces, (first, second), strict=True))
    assert "<style" not in first.text
    assert " style=" not in first.text


@pytest.mark.settings(post_login_url="https://app.example.com/in?x=1", post_logout_url="/bye")
def test_csp_form_action_allows_only_configured_front_ends(client):
    policy = client.get("/us-signin").headers["Content-Security-Policy"]
    assert "; form-action 'self' https://app.example.com; " in policy


def test_plain_http_response_has_no_hsts_header(client):
    assert "Strict-Transport-Security" not in client.get("/").headers


def test_production_cookies_are_secure_and_host_only(production, people, make_app):
    host = {"Host": "id.example.com", "X-CSRFToken": ""}
    client = production.test_client()
    token = client.get("/us-signin", headers=host | {"Accept": "application/json"}, base_url="https://id.example.com")
    ada = people.open(email="ada@example.com", methods=["authenticator"])
    host["X-CSRFToken"] = token.get_json()["response"]["csrf_token"]
    body = {"identity": ada.email, "passcode": ada.app_code(), "remember": True}
    opened = client.post("/us-signin", json=body, headers=host, base_url="https://id.example.com")
    asked = client.get("/us-signin", headers=host, base_url="https://id.example.com")
    away = production.test_client().get("/us-setup", headers=host, base_url="https://id.example.com")
    cookies = [line for answer in (token, opened, asked, away) for line in answer.headers.getlist("Set-Cookie")]
    assert {line.split("=")[0] for line in cookies} == {
        "__Host-latchkey_browser",
        "__Host-latchkey_session",
        "__Host-latchkey_known",
        "__Host-latchkey_flash",
    }
    for line in cookies:
        parts = [part.strip() for part in line.split(";")[1:]]
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(parts), line
        assert not [part for part in parts if part.startswith("Domain")]
        assert len(line) <= 4096


def test_session_cookie_is_opaque(people, wire):
    ada = people.open(email="ada@example.com", methods=["authenticator"])
    wire.post("/us-signin", identity=ada.email, passcode=ada.app_code())
    assert len(wire.cookies["latchkey_session"]) == 43
    assert ada.email not in str(wire.cookies)


def test_viewing_pages_sets_the_browser_cookie_once(browser_wire: Wire):
    assert len(browser_wire.get("/us-signin").headers.getlist("Set-Cookie")) == 1
    assert browser_wire.get("/us-signin").headers.getlist("Set-Cookie") == []
    assert browser_wire.elsewhere().get("/static/app.css").headers.getlist("Set-Cookie") == []
    assert browser_wire.elsewhere().get("/nothing").headers.getlist("Set-Cookie") == []


def test_viewing_a_page_while_signed_in_sets_no_cookie(people, browser_wire):
    sign_in(browser_wire, people.open(email="ada@example.com"))
    assert browser_wire.get("/").headers.getlist("Set-Cookie") == []


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://localhost"]
)
def test_responses_have_no_cors_headers(client, origin):
    for method in ("GET", "OPTIONS"):
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = client.open("/us-signin", method=method, headers=asked)
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
