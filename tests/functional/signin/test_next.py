"""Where to go after signing in: always on this site, whatever a request says."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.one_database

SAFE = [
    ("/us-setup", "/us-setup"),
    ("/us-setup?a=b&c=d", "/us-setup?a=b&c=d"),
    ("/a/b.c-d_e~f/%20?x=/y#z", "/a/b.c-d_e~f/%20?x=/y#z"),
    ("http://localhost/us-setup", "/us-setup"),
    ("us-setup", "/us-setup"),
    ("us-setup?a=b&c=/d", "/us-setup?a=b&c=/d"),
    ("a/b.c", "/a/b.c"),
]

EVIL = [
    "https://evil.example",
    "HTTP://evil.example/",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/////evil.example",
    " //evil.example",
    "\t//evil.example",
    "\x01//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/ /evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "/\\/evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/./\\evil.example",
    "/a/../..//evil.example",
    "/a//evil.example",
    "/;@evil.example//",
    "https:evil.example",
    "https:/evil.example",
    "http:///evil.example",
    "http:\\\\evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "ftp://localhost/",
    "http://localhost@evil.example",
    "http://localhost:80@evil.example/",
    "http://localhost.evil.example/",
    "http://localhost/\\evil.example",
    "http://localhost//evil.example",
    "http://localhost\\@evil.example",
    "https://evil.example\\@localhost",
    "http://[::1",
    "evil.example",
    "evil.example/us-setup",
    "evil.example?a=b",
    "us-setup//evil.example",
    "us-setup:80",
    "@evil.example",
    "/" + "a" * 3000,
]


@pytest.mark.parametrize(("target", "location"), SAFE)
@pytest.mark.parametrize("carrier", ["field", "query"])
def test_sign_in_redirects_to_a_same_site_next(browser_wire, ada, code_for, target, location, carrier):
    code = code_for(ada.email, by=browser_wire)
    fields = {"identity": ada.email, "passcode": code}
    query = {"next": target} if carrier == "query" else {}
    fields |= {"next": target} if carrier == "field" else {}
    token = browser_wire.fetch_csrf()
    answer = browser_wire.send("POST", "/us-signin", query_string=query, data=fields | {"csrf_token": token})
    assert (answer.status, answer.location) == (302, location)


def test_next_form_field_takes_precedence_over_the_query(browser_wire, ada, code_for):
    code = code_for(ada.email, by=browser_wire)
    answer = browser_wire.post("/us-signin?next=/query", identity=ada.email, passcode=code, next="/field")
    assert answer.location == "/field"


@pytest.mark.settings(post_login_url="/us-setup")
def test_sign_in_without_next_redirects_to_post_login_url(browser_wire, ada, code_for):
    code = code_for(ada.email, by=browser_wire)
    assert browser_wire.post("/us-signin", identity=ada.email, passcode=code).location == "/us-setup"


@pytest.mark.settings(limits=False)
def test_unsafe_next_field_is_rejected_without_signing_in(wire, ada, code_for):
    code = code_for(ada.email)
    for target in EVIL:
        answer = wire.post("/us-signin", identity=ada.email, passcode=code, next=target)
        assert (answer.status, answer.codes) == (400, ["invalid_redirect"]), target
    assert wire.signed_in_as() is None
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


@pytest.mark.one_database
@pytest.mark.parametrize("path", ["/us-signin", "/us-signin/send-code", "/register"])
def test_unparsable_next_field_returns_invalid_redirect(wire, path):
    who = {"identity": "ada@example.com", "email": "ada@example.com", "passcode": "00000000", "chosen_method": "email"}
    answer = wire.post(path, next="http://[evil", **who)
    assert (answer.status, answer.codes) == (400, ["invalid_redirect"])


@pytest.mark.settings(limits=False)
def test_unsafe_next_query_is_ignored(browser_wire, people, clock):
    eve = people.open(methods=["authenticator"], email="eve@example.com")
    for target in EVIL:
        browser = browser_wire.elsewhere()
        assert not browser.send("GET", "/us-signin", query_string={"next": target}).page.value("next"), target
        clock.shift(60)
        fields = {"identity": eve.email, "passcode": eve.app_code(), "csrf_token": browser.fetch_csrf()}
        answer = browser.send("POST", "/us-signin", query_string={"next": target}, data=fields)
        assert (answer.status, answer.location) == (302, "/"), target


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_send_code_with_unsafe_next_is_rejected_and_sends_nothing(wire, ada, deliver, target):
    answer = wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email", next=target)
    assert (answer.status, answer.codes) == (400, ["invalid_redirect"])
    assert deliver() == []


def test_json_sign_in_ignores_next(json_wire, ada, code_for):
    code = code_for(ada.email, by=json_wire)
    answer = json_wire.post("/us-signin?next=/us-setup", identity=ada.email, passcode=code, next="/us-setup")
    assert (answer.status, answer.location) == (200, None)


@pytest.mark.parametrize("value", [5, True, {"a": "b"}, [["/x"]]])
def test_non_string_next_is_rejected(json_wire, ada, code_for, value):
    code = code_for(ada.email, by=json_wire)
    answer = json_wire.post("/us-signin", identity=ada.email, passcode=code, next=value)
    assert (answer.status, answer.codes) == (400, ["api_error"])


def test_code_page_keeps_next(browser_wire, ada):
    page = browser_wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email", next="/us-setup").page
    assert page.value("next") == "/us-setup"


@pytest.mark.settings(post_login_url="http://localhost:5173/app")
@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("http://localhost:5173/orders?id=7", "http://localhost:5173/orders?id=7"),
        ("http://localhost/sessions", "/sessions"),
        ("http://localhost:5173", None),
        ("http://localhost:5173//evil.example", None),
        ("http://localhost:5173/\\evil.example", None),
        ("http://localhost:51730/orders", None),
        ("http://localhost:5173@evil.example/", None),
        ("https://localhost:5173/orders", None),
        ("http://localhost:8000/orders", None),
    ],
)
def test_next_may_point_to_the_configured_front_end_origin_only(browser_wire, ada, code_for, target, location):
    code = code_for(ada.email, by=browser_wire)
    answer = browser_wire.post("/us-signin", identity=ada.email, passcode=code, next=target)
    assert (answer.location, answer.codes) == ((location, []) if location else (None, ["invalid_redirect"]))
