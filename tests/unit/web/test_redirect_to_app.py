"""Redirecting to an app, or a page if a browser would block the redirect."""

from __future__ import annotations

import re
from html import unescape

import pytest

from app.oidc.clients import Client
from app.web.respond import redirect_to_app

URL = "https://wiki.example.com/callback?code=a%2Fb&state=x%22%3E|{}\"'<script>&iss=http%3A%2F%2Flocalhost"
OWN_SCHEME = "com.example.app:/callback?code=abc&state=1"

pytestmark = pytest.mark.one_database


@pytest.fixture
def left(app):
    """Redirects from a request that was sent in this way."""

    def leave_from(url=URL, *, method="POST", dest="document"):
        headers = {"Sec-Fetch-Dest": dest} if dest else {}
        with app.test_request_context("/oauth/authorize", method=method, headers=headers):
            return app.process_response(redirect_to_app(url))

    return leave_from


@pytest.mark.parametrize(("method", "dest"), [("GET", "document"), ("GET", ""), ("POST", ""), ("POST", "empty")])
def test_request_that_is_not_a_page_form_is_redirected_with_303(left, method, dest):
    answer = left(method=method, dest=dest)
    assert answer.status_code == 303
    assert answer.headers["Location"] == URL


@pytest.mark.parametrize("url", [URL, OWN_SCHEME])
def test_form_post_is_answered_by_a_page_with_meta_refresh(left, url):
    answer = left(url)
    text = answer.get_data(as_text=True)
    assert (answer.status_code, answer.headers.get("Location")) == (200, None)
    refresh = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]*)">', text)
    link = re.search(r'<a class="button button-main" href="([^"]*)"', text)
    assert refresh is not None
    assert link is not None
    assert [unescape(found[1]) for found in (refresh, link)] == [url, url]
    assert "<script>&" not in text


def test_redirect_page_names_its_target(left):
    assert "wiki.example.com" in re.sub(r'"[^"]*"', "", left().get_data(as_text=True))
    assert "com.example.app:" in re.sub(r'"[^"]*"', "", left(OWN_SCHEME).get_data(as_text=True))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_external_redirect_sends_no_referrer_and_is_not_cached(left, method):
    headers = left(method=method).headers
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_client_with_an_invalid_redirect_uri_is_rejected():
    with pytest.raises(ValueError, match="is no URL"):
        Client(id="app", name="App", auth_method="none", redirect_uris=("com.example.app://[",))
