"""URIs of clients: which can be registered, and which match a registered one."""

from __future__ import annotations

import pytest

from app.oidc.client_uris import allows_redirect, check_origin, check_redirect_uri, check_resource, check_url

REDIRECT_URIS = [
    "https://app.example.com/callback",
    "https://app.example.com",
    "https://app.example.com:8443/callback?tenant=a&x=%2F",
    "http://grafana:3000/login/generic_oauth",
    "http://my_app.lan/cb",
    "http://localhost/cb",
    "http://127.0.0.1:51004/cb",
    "http://[::1]/cb",
    "https://[2001:db8::1]:8443/cb",
    "com.example.app:/oauth2redirect",
    "com.example.app://callback",
]

NO_URLS = [
    "",
    "app.example.com/callback",
    "//app.example.com/callback",
    "/callback",
    "https:app.example.com",
    "https:/app.example.com",
    "https:///callback",
    "https://",
    "https://:443/cb",
    "https://app.example.com:/cb",
    "https://app.example.com:99999/cb",
    "https://app.example.com:x/cb",
    "https://user@app.example.com/cb",
    "https://user:word@app.example.com/cb",
    "https://app.example.com@evil.example/cb",
    "https://app.example.com/cb#fragment",
    "https://app.example.com/cb#",
    "https://app.example.com\\@evil.example/cb",
    "https://app.example.com/c b",
    " https://app.example.com/cb",
    "https://app.example.com/cb\n",
    "https://app.example.com/c\tb",
    "https://app.example.com/c\x7fb",
    "https://app.example.com/%zz",
    'https://app.example.com/"',
    "https://app.example.com/<b>",
    "https://äpp.example.com/cb",
    "https://*.example.com/cb",
    "https://[::1/cb",
    "https://[not-an-address]/cb",
    "https://-/cb",
    "HTTPS://app.example.com/cb",
    "https://app.example.com/" + "a" * 2048,
]

NO_REDIRECT_URIS = [
    *NO_URLS,
    "https://app.example.com/*",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "mailto:a@example.com",
    "myapp://callback",
    "urn:ietf:wg:oauth:2.0:oob",
    "com.example.app:/cb#x",
    "com.example.app:/c b",
    "Com.example.app:/cb",
    "1.example:/cb",
]


@pytest.mark.parametrize("uri", REDIRECT_URIS)
def test_valid_redirect_uri_is_accepted(uri):
    check_redirect_uri(uri)


@pytest.mark.parametrize("uri", NO_REDIRECT_URIS)
def test_invalid_redirect_uri_is_rejected(uri):
    with pytest.raises(ValueError):
        check_redirect_uri(uri)


@pytest.mark.parametrize("uri", [*NO_URLS, "com.example.app:/cb"])
def test_invalid_url_is_rejected(uri):
    with pytest.raises(ValueError):
        check_url(uri)


@pytest.mark.parametrize("origin", ["https://app.example.com", "https://app.example.com:8443", "http://localhost:3000"])
def test_valid_origin_is_accepted(origin):
    check_origin(origin)


@pytest.mark.parametrize("origin", [
    "", "*", "null", "app.example.com", "https://app.example.com/", "https://app.example.com/path",
    "https://App.example.com", "https://app.example.com:443", "http://app.example.com:80", "https://*.example.com",
    "https://user@app.example.com", "com.example.app://x", "https://app.example.com?x", "https://app.example.com#",
])  # fmt: skip
def test_invalid_origin_is_rejected(origin):
    with pytest.raises(ValueError):
        check_origin(origin)


@pytest.mark.parametrize(("resource", "is_one"), [
    ("https://api.example.com/v1", True), ("urn:example:api", True), ("api", False), ("/v1", False),
    ("https://api.example.com/#x", False), ("https://api.example.com/ x", False),
])  # fmt: skip
def test_resource_must_be_an_absolute_uri(resource, is_one):
    if is_one:
        check_resource(resource)
        return
    with pytest.raises(ValueError):
        check_resource(resource)


REGISTERED = ("https://app.example.com/cb", "http://127.0.0.1/cb?x=1", "http://[::1]:9/cb", "http://localhost:3000/cb",
              "com.example.app:/cb")  # fmt: skip


@pytest.mark.parametrize("uri", [
    *REGISTERED, "http://127.0.0.1:51004/cb?x=1", "http://[::1]/cb", "http://[::1]:65535/cb", "http://localhost/cb",
])  # fmt: skip
def test_registered_redirect_uri_matches_with_any_loopback_port(uri):
    assert allows_redirect(REGISTERED, uri)


@pytest.mark.parametrize("uri", [
    "", "https://app.example.com/cb/", "https://app.example.com/cb?", "https://app.example.com/cb#",
    "https://app.example.com/CB", "https://APP.example.com/cb", "https://app.example.com:443/cb",
    "https://app.example.com:8443/cb", "http://app.example.com/cb", "https://app.example.com/cb/../cb",
    "https://app.example.com/c%62", "https://app.example.com/cb?x=1", "https://evil.example/cb",
    "https://app.example.com.evil.example/cb", "https://app.example.com@evil.example/cb",
    "https://app.example.com\\@evil.example/cb", " https://app.example.com/cb", "https://app.example.com/cb\n",
    "http://127.0.0.1:1/cb", "http://127.0.0.1:1/cb?x=2", "http://127.0.0.1:1/cb?x=1#", "http://127.0.0.1:1/cb?x=1&y",
    "http://127.0.0.1:1/c\tb?x=1", "http://127.0.0.1:1\n/cb?x=1", "http://127.0.0.1:1/cb?x=1\n",
    "http://evil@127.0.0.1/cb?x=1", "http://127.0.0.1@evil.example/cb?x=1", "http://127.0.0.1:80@evil.example/cb?x=1",
    "http://127.0.0.1:/cb?x=1", "http://127.0.0.1:65536/cb?x=1", "http://127.0.0.1:1x/cb?x=1", "http://127.1/cb?x=1",
    "http://127.0.0.2:1/cb?x=1", "http://localhost:1/cb?x=1", "http://127.0.0.1:١/cb?x=1", "http://LOCALHOST:1/cb",
    "http://localhost.evil.example/cb", "http://localhost:3000.evil.example/cb", "http://localhost:1/cb/",
    "https://127.0.0.1:1/cb?x=1", "com.example.app:/cb/", "com.example.app:/cb#", "com.example.app.evil:/cb",
    "http://localhost:1?/cb", "http://localhost:1\\/cb", "http://[::1]:1/cb#", "http://[0:0:0:0:0:0:0:1]:1/cb",
    "http://" + "1" * 100_000,
])  # fmt: skip
def test_unregistered_redirect_uri_does_not_match(uri):
    assert not allows_redirect(REGISTERED, uri)
