"""URIs that resemble a registered one get a page, never a redirect (RFC 9700, section 4.1)."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.oidc import register

pytestmark = pytest.mark.one_database

REGISTERED = "https://app.example.com/callback?tenant=1"

HOSTILE = [
    "https://app.example.com/callback", "https://app.example.com/callback?tenant=1&more=2",
    "https://app.example.com/callback?tenant=1&tenant=1", "https://app.example.com/callback?tenant=2",
    "https://app.example.com/callback?", "https://app.example.com/callback?tenant=1#", "https://app.example.com/",
    "https://app.example.com/callback?tenant=1#fragment", "https://app.example.com/callback?tenant=1%23x",
    "https://app.example.com/callback/?tenant=1", "https://app.example.com/callback/evil?tenant=1",
    "https://app.example.com/callback/../evil?tenant=1", "https://app.example.com/evil/../callback?tenant=1",
    "https://app.example.com/./callback?tenant=1", "https://app.example.com//callback?tenant=1",
    "https://app.example.com/callback/..%2fevil?tenant=1", "https://app.example.com/%2e%2e/callback?tenant=1",
    "https://app.example.com/callback%2f..%2f?tenant=1", "https://app.example.com/%63allback?tenant=1",
    "https://app.example.com/callback%00?tenant=1", "https://app.example.com/callback;x?tenant=1",
    "https://app.example.com/Callback?tenant=1", "https://APP.example.com/callback?tenant=1",
    "HTTPS://app.example.com/callback?tenant=1", "http://app.example.com/callback?tenant=1",
    "https:/app.example.com/callback?tenant=1", "https:app.example.com/callback?tenant=1",
    "https:///app.example.com/callback?tenant=1", "//app.example.com/callback?tenant=1", "/callback?tenant=1",
    "https:\\\\app.example.com\\callback?tenant=1", "https://app.example.com\\@evil.example/callback?tenant=1",
    "https://app.example.com:443/callback?tenant=1", "https://app.example.com:8443/callback?tenant=1",
    "https://app.example.com:/callback?tenant=1", "https://app.example.com./callback?tenant=1",
    "https://app.example.com.evil.example/callback?tenant=1", "https://evilapp.example.com/callback?tenant=1",
    "https://app.example.com@evil.example/callback?tenant=1", "https://evil.example/app.example.com/callback?tenant=1",
    "https://evil@app.example.com/callback?tenant=1", "https://a:b@app.example.com/callback?tenant=1",
    "https://evil.example/?https://app.example.com/callback?tenant=1",
    "https://evil.example#https://app.example.com/callback?tenant=1",
    "https://app%2eexample.com/callback?tenant=1", "https://app.example.com%2eevil.example/callback?tenant=1",
    "https://app.example.com%40evil.example/callback?tenant=1", "https://app.example.com%00.evil.example/callback",
    "https://app。example.com/callback?tenant=1", "https://аpp.example.com/callback?tenant=1",
    "https://app.example.com/callback?tenant=１", "https://app.example.com/call\u200bback?tenant=1",
    "https://xn--pp-8cd.example.com/callback?tenant=1", "https://app.example.com/callback?tenant=1\u202e",
    " https://app.example.com/callback?tenant=1", "https://app.example.com/callback?tenant=1 ",
    "https://app.example.com/callback?tenant=1\t", "https://app.example.com/callback?tenant=1\n",
    "https://app.example.com/callback?tenant=1\r\nLocation: https://evil.example/",
    "https://app.example.com/callback?tenant=1%0d%0aSet-Cookie:a=b", "\thttps://app.example.com/callback?tenant=1",
    "https://app.example.com/callback?tenant=1\0", "https://app.exa\nmple.com/callback?tenant=1",
    "javascript:alert(1)//app.example.com/callback?tenant=1",
    "data:text/html,https://app.example.com/callback?tenant=1",
    "view-source:https://app.example.com/callback?tenant=1", "https://*.example.com/callback?tenant=1", "*", ".",
    "https://",
    "urn:ietf:wg:oauth:2.0:oob", "https://[::1]/callback?tenant=1",
    "https://app.example.com/callback?tenant=1" + "x" * 3000,
]  # fmt: skip

NATIVE = ["http://127.0.0.1/callback", "http://[::1]:8000/callback", "http://localhost/callback", "com.example.app:/cb"]

SAME = [
    "http://127.0.0.1:1/callback", "http://127.0.0.1:51004/callback", "http://127.0.0.1:65535/callback",
    "http://127.0.0.1/callback", "http://[::1]/callback", "http://[::1]:9/callback", "http://localhost:3000/callback",
    "com.example.app:/cb",
]  # fmt: skip

NOT_SAME = [
    "http://127.0.0.1:65536/callback", "http://127.0.0.1:/callback", "http://127.0.0.1:0x50/callback",
    "http://127.0.0.1:80:80/callback", "http://127.0.0.1: 80/callback", "http://127.0.0.1:１/callback",
    "http://127.0.0.1:-1/callback", "http://127.0.0.1:+1/callback", "http://127.0.0.1:8000/callback/",
    "http://127.0.0.1:8000/callback?a=b", "http://127.0.0.1:8000/callback#a", "http://127.0.0.1:8000/other",
    "http://127.0.0.1:8000@evil.example/callback", "http://127.0.0.1:a@evil.example/callback",
    "http://127.0.0.1.evil.example/callback", "http://127.0.0.1:80.evil.example/callback",
    "http://127.0.0.1\\@evil.example/callback", "http://evil.example:80@127.0.0.1/callback",
    "http://127.0.0.2/callback", "http://127.1/callback", "http://0x7f000001/callback", "http://2130706433/callback",
    "http://0.0.0.0/callback", "http://[::ffff:127.0.0.1]/callback", "http://[::2]/callback", "http://[::1/callback",
    "http://[0:0:0:0:0:0:0:1]/callback", "http://[::1%25lo]/callback", "http://localhost./callback",
    "http://LOCALHOST:80/callback", "http://localhost.evil.example/callback", "https://127.0.0.1:8000/callback",
    "https://localhost/callback", "HTTP://127.0.0.1/callback", "http://127.0.0.1:8000/callback\n",
    "com.example.app:/cb/",
    "com.example.app://cb", "COM.example.app:/cb", "com.example.app2:/cb", "com.example.app:cb",
]  # fmt: skip


@pytest.fixture
def app_with_query(app):
    """An app whose address has a query."""
    return register(app, redirect_uris=[REGISTERED])


@pytest.fixture
def native(app):
    """An app on the person's own machine."""
    return register(app, "native", public=True, redirect_uris=NATIVE)


def test_exact_registered_redirect_uri_is_accepted(app_with_query, browser):
    response = browser.client.get(app_with_query.request())
    assert response.headers["Location"].startswith(f"{REGISTERED}&code=")


@pytest.mark.settings(limits=False)
@pytest.mark.parametrize("how", ["GET", "POST", "stranger"])
def test_lookalike_redirect_uri_is_never_redirected_to(app, app_with_query, browser, how):
    for asked in ({}, {"prompt": "none"}, {"response_type": "token"}, {"scope": None}):
        led = [uri for uri in HOSTILE if where(app, app_with_query, browser, how, uri, asked)]
        assert led == [], asked


@pytest.mark.settings(limits=False)
def test_loopback_redirect_uri_may_differ_only_in_port(app, native, browser):
    assert [uri for uri in NOT_SAME if where(app, native, browser, "GET", uri, {})] == []
    for uri in SAME:
        found = where(app, native, browser, "GET", uri, {})
        assert found.startswith(f"{uri}?code="), uri


def test_error_page_does_not_contain_the_rejected_redirect_uri(app_with_query, browser):
    for uri in ("https://evil.example/", "javascript:alert(1)", "https://evil.example/\"'><b>"):
        page = browser.get(app_with_query.request(redirect_uri=uri))
        assert page.status == 400
        assert "evil" not in page.text
        assert "javascript:" not in page.text


def test_code_exchange_requires_the_loopback_port_used_for_authorization(native, browser):
    for used, given, status in (
        ("http://127.0.0.1:1/callback", "http://127.0.0.1:1/callback", 200),
        ("http://127.0.0.1:1/callback", "http://127.0.0.1:2/callback", 400),
        ("http://127.0.0.1/callback", "http://127.0.0.1:1/callback", 400),
    ):
        native.redirect_uri = used
        code = native.code(browser)
        assert native.exchange(code, redirect_uri=given).status_code == status


def where(app, rp, browser, how: str, uri: str, asked) -> str:
    """Return where a request with this URI redirects; "" if it gets a page."""
    path, _, query = rp.request(**({"redirect_uri": None} | asked)).partition("?")
    query += f"&{urlencode({'redirect_uri': uri})}"
    client = app.test_client() if how == "stranger" else browser.client
    if how == "POST":
        sent = client.post(path, data=query, content_type="application/x-www-form-urlencoded")
        response = client.get(sent.headers["Location"])
    else:
        response = client.get(f"{path}?{query}")
    assert response.status_code < 500, (uri, response.status)
    found: str = response.headers.get("Location", "")
    assert found or response.status_code == 400, (uri, response.status)
    return found
