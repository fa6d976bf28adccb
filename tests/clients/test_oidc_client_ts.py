"""npm oidc-client-ts: a single-page app at its own origin calls the endpoints from the browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask, send_file

from tests.databases import ROOT
from tests.requirements import missing, program
from tests.serving import free_port

pytestmark = pytest.mark.one_database

LIBRARY = ROOT / "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"
SILENT = """<!doctype html><script src="/oidc-client-ts.min.js"></script>
<script>
  new oidc.UserManager({ authority: "any", client_id: "any", redirect_uri: "any" }).signinSilentCallback();
</script>
"""
ASK = """async ([url, token]) => {
  try {
    const answer = await fetch(url, { headers: { Authorization: `Bearer ${token}` } });
    return [answer.status, (await answer.json()).error];
  } catch (error) {
    return error.name;
  }
}"""
"""Asks as a script of a page does; what it reads, or the error where the browser lets it read nothing."""

REVOKE = """([url, client_id, token]) =>
  fetch(url, { method: "POST", body: new URLSearchParams({ client_id, token }) }).then((answer) => answer.status)
"""


def static_app(options: dict[str, str]) -> Flask:
    """Return a WSGI app that serves the page and its files."""
    if not LIBRARY.exists():
        program("npm")
        missing("oidc-client-ts is not installed (make node_modules/axe-core/axe.min.js)")
    app = Flask("spa")
    app.add_url_rule("/", "page", lambda: send_file(Path(__file__).with_name("spa.html")))
    app.add_url_rule("/silent", "silent", lambda: SILENT)
    app.add_url_rule("/oidc-client-ts.min.js", "library", lambda: send_file(LIBRARY))
    app.add_url_rule("/options.json", "options", lambda: json.dumps(options))
    return app


@pytest.fixture
def spa(issuer, register, served):
    """Serves the app at a host: ``spa("127.0.0.1")`` is another site than ours, ``spa("localhost")`` the same one."""

    def serve(name, **fields):
        port = free_port()
        url = f"http://{name}:{port}"
        uris = {"redirect_uris": [f"{url}/", f"{url}/silent"], "post_logout_redirect_uris": [f"{url}/"]}
        party = register(name="Board", public=True, origins=[url], **uris, **fields)
        return served(
            static_app({"authority": issuer, "client_id": party.id, "scope": "openid email"}), port=port, name=name
        )

    return serve


@pytest.fixture
def sign_in(page):
    """Signs Ada in to an app, where she performs ``steps``."""

    def sign_in(app, *steps):
        page.goto(app.url)
        page.get_by_text("ready").wait_for()
        page.get_by_role("button", name="Sign in").click()
        for step in steps:
            step()
        page.get_by_text("signed in").wait_for()

    return sign_in


def renew(page):
    """Have the app renew its tokens; return the result."""
    page.get_by_role("button", name="Renew").click()
    page.wait_for_function("!['signed in', 'ready'].includes(document.querySelector('p').textContent)")
    return page.locator("p").inner_text()


def test_spa_signs_in_and_renews_with_refresh_token(page, spa, sign_in, enter_code, ada):
    sign_in(spa("127.0.0.1"), enter_code)
    assert page.locator("h1").inner_text() == ada.email
    token = page.evaluate("user.access_token")
    assert renew(page) == "renewed"
    assert page.locator("h1").inner_text() == ada.email
    assert page.evaluate("user.access_token") != token


def test_spa_logout_ends_app_and_provider_session(page, spa, session_here, sign_in, live_server):
    app = spa("127.0.0.1")
    sign_in(app)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{app.url}/**")
    page.get_by_role("heading", name="Nobody").wait_for()
    page.goto(f"{live_server.url}/")
    page.get_by_role("heading", name="Sign in").wait_for()


def test_cross_site_silent_renewal_gets_login_required(page, spa, session_here, sign_in):
    sign_in(spa("127.0.0.1", grant_types=["authorization_code"]))
    assert renew(page) == "login_required"


def test_same_site_silent_renewal_succeeds(page, spa, session_here, sign_in, ada):
    sign_in(spa("localhost", grant_types=["authorization_code"]))
    assert renew(page) == "renewed"
    assert page.locator("h1").inner_text() == ada.email


def test_spa_can_read_error_responses(page, spa, session_here, sign_in, issuer):
    sign_in(spa("127.0.0.1"))
    assert page.evaluate(ASK, [f"{issuer}/oauth/userinfo", "no-such-token"]) == [401, "invalid_token"]
    client_id, token = page.evaluate("[user.profile.aud, user.refresh_token]")
    assert page.evaluate(REVOKE, [f"{issuer}/oauth/revoke", client_id, token]) == 200
    assert renew(page) == "invalid_grant"


def test_unregistered_origin_cannot_read_responses(page, landing, issuer):
    page.goto(f"{landing.url}/callback")
    assert page.evaluate(ASK, [f"{issuer}/oauth/userinfo", "any"]) == "TypeError"
