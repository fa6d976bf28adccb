"""Signing in to an app in a real browser: from the app to our pages and back with a code.

The content security policy is the real one. Its form-action allows only this site, and Chromium applies it to each
redirect after a form: requests that reach the app here have passed it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.keyboard import Keyboard
from tests.oidc import RelyingParty, register

FIELD = "Email, phone or username"

both = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])


class Behind(BaseHTTPRequestHandler):
    """An app's pages, all the same."""

    def do_GET(self) -> None:
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
            return
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html><html lang=en><title>The app</title><h1>The app</h1>")

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def app_server() -> Iterator[ThreadingHTTPServer]:
    """The app: ``app_server.seen`` has the requests for its pages."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    server.seen = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def make_app_of(shared_app, app_server, live_server):
    """Registers the app at the shared service: ``make_app_of(consent="ask")``."""

    def make(**fields: Any) -> RelyingParty:
        number = app_server.server_port
        uri = f"http://127.0.0.1:{number}/callback"
        return register(shared_app, f"photos-{number}", name="Photos", redirect_uris=[uri], **fields)

    return make


def answer_at(page: Any, rp: RelyingParty, app_server: ThreadingHTTPServer) -> dict[str, str]:
    """Wait until the browser is at the app, and return the parameters of its URL."""
    page.wait_for_url(f"{rp.redirect_uri}?*")
    page.get_by_role("heading", name="The app").wait_for()
    path, headers = app_server.seen[-1]
    assert page.url.endswith(path)
    assert "Referer" not in headers
    assert "Cookie" not in headers
    given = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    assert given["state"] == rp.state
    return given


def exchange(rp: RelyingParty, code: str) -> dict[str, Any]:
    """Return the response to the app's code exchange."""
    answer = rp.exchange(code)
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def sign_in_by_mail(page: Any, email: str, mailbox: Any) -> None:
    """Sign in by email code, using only the Enter key."""
    keys = Keyboard(page)
    keys.write(FIELD, email)
    keys.go()
    page.locator("[data-submit-at]").evaluate_all(
        "all => all.forEach((each) => each.removeAttribute('data-submit-at'))"
    )
    keys.write("Your code", mailbox.newest(email).code)
    keys.go()


@both
def test_signed_out_user_signs_in_consents_and_reaches_the_app(
    new_browser, people, email, mailbox, make_app_of, app_server, script
):
    people.open(email=email, methods=["email"])
    rp = make_app_of(consent="ask")
    page = new_browser(java_script_enabled=script)
    page.goto(rp.request(scope="openid email"))
    assert "to continue to Photos" in page.locator("main").inner_text()
    sign_in_by_mail(page, email, mailbox)
    assert page.locator("h1").inner_text() == "Allow Photos?"
    assert "form-action 'self'" in page.goto(page.url).headers["content-security-policy"]
    Keyboard(page).to("Allow")
    page.keyboard.press("Enter")
    tokens = exchange(rp, answer_at(page, rp, app_server)["code"])
    assert rp.userinfo(tokens["access_token"]).json["email"] == email
    # The second time, the user is asked nothing and sees no page of ours.
    page.goto(rp.request(scope="openid email"))
    exchange(rp, answer_at(page, rp, app_server)["code"])


@both
def test_code_sign_in_redirects_straight_to_the_app(
    new_browser, people, email, mailbox, make_app_of, app_server, script
):
    people.open(email=email, methods=["email"])
    rp = make_app_of()
    page = new_browser(java_script_enabled=script)
    page.goto(rp.request(login_hint=email))
    assert page.get_by_label(FIELD).input_value() == email
    page.get_by_role("button", name="Send me a code").click()
    page.get_by_label("Your code").fill(mailbox.newest(email).code)
    if not script:  # with JavaScript, the last digit submits the form
        page.get_by_role("button", name="Sign in", exact=True).click()
    exchange(rp, answer_at(page, rp, app_server)["code"])


@both
def test_sign_in_link_redirects_to_the_app(new_browser, people, email, mailbox, make_app_of, app_server, script):
    people.open(email=email, methods=["email"])
    rp = make_app_of()
    page = new_browser(java_script_enabled=script)
    page.goto(rp.request(login_hint=email))
    page.get_by_role("button", name="Send me a code").click()
    page.goto(mailbox.newest(email).link)
    exchange(rp, answer_at(page, rp, app_server)["code"])


@both
def test_registration_redirects_to_the_app(new_browser, email, mailbox, make_app_of, app_server, script):
    rp = make_app_of(consent="ask")
    page = new_browser(java_script_enabled=script)
    page.goto(rp.request())
    page.get_by_role("link", name="Create an account").click()
    assert "to continue to Photos" in page.locator("main").inner_text()
    page.get_by_label("Email").fill(email)
    page.get_by_role("button", name="Send me a code").click()
    page.get_by_label("Your code").fill(mailbox.newest(email).code)
    page.get_by_role("button", name="Confirm and sign in").click()
    page.get_by_role("button", name="Allow", exact=True).click()
    exchange(rp, answer_at(page, rp, app_server)["code"])


@both
def test_denied_consent_redirects_with_access_denied(
    new_browser, people, email, sign_in, make_app_of, app_server, script
):
    rp = make_app_of(consent="ask")
    page = sign_in(people.open(email=email), new_browser(java_script_enabled=script))
    page.goto(rp.request())
    Keyboard(page).to("Don't allow")
    page.keyboard.press("Enter")
    assert answer_at(page, rp, app_server)["error"] == "access_denied"


def test_consent_page_tab_order_starts_with_allow(page, people, email, sign_in, make_app_of):
    rp = make_app_of(consent="ask", policy_url="https://photos.example.com/privacy")
    sign_in(people.open(email=email)).goto(rp.request())
    keys = Keyboard(page)
    for name in ("Allow", "Don't allow", "Use another account", "Privacy policy"):
        keys.page.keyboard.press("Tab") if name != "Allow" else keys.to(name)
        assert keys._at_focus()["name"].startswith(name)


@both
def test_user_can_switch_account_before_consent(
    new_browser, people, email, sign_in, mailbox, make_app_of, app_server, script
):
    rp = make_app_of(consent="ask")
    grace = people.open(email=f"grace{email}", methods=["email"])
    page = sign_in(people.open(email=email), new_browser(java_script_enabled=script))
    page.goto(rp.request(prompt="select_account"))
    page.get_by_role("button", name="Use another account").click()
    page.get_by_label(FIELD).wait_for()
    sign_in_by_mail(page, grace.email, mailbox)
    assert grace.email in page.locator("main").inner_text()
    page.get_by_role("button", name="Allow", exact=True).click()
    exchange(rp, answer_at(page, rp, app_server)["code"])


@both
def test_cross_site_post_authorization_request_reaches_the_app(
    new_browser, people, email, sign_in, make_app_of, app_server, live_server, script
):
    """A cross-site POST has no Lax cookie; the redirect that follows has it."""
    rp = make_app_of()
    page = sign_in(people.open(email=email), new_browser(java_script_enabled=script))
    address, _, query = rp.request(nonce="n").partition("?")
    fields = "".join(
        f'<input name="{name}" value="{values[0]}">' for name, values in parse_qs(query, strict_parsing=True).items()
    )
    form = f'<!doctype html><form method="post" action="{live_server.url}{address}">{fields}<button>Go</button></form>'
    page.route(f"{rp.redirect_uri}/form", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto(f"{rp.redirect_uri}/form")
    page.get_by_role("button", name="Go").click()
    exchange(rp, answer_at(page, rp, app_server)["code"])


@both
def test_removed_app_access_requires_consent_again(
    new_browser, people, email, sign_in, make_app_of, app_server, script
):
    rp = make_app_of(consent="ask", home_url="https://photos.example.com/")
    page = sign_in(people.open(email=email), new_browser(java_script_enabled=script))
    page.goto(rp.request())
    page.get_by_role("button", name="Allow", exact=True).click()
    tokens = exchange(rp, answer_at(page, rp, app_server)["code"])
    page.goto("/apps")
    page.get_by_role("button", name="Remove access: Photos").click()
    page.get_by_text("Photos no longer has access to your account.").wait_for()
    assert rp.userinfo(tokens["access_token"]).status_code == 401
    page.goto(rp.request())
    assert page.locator("h1").inner_text() == "Allow Photos?"
