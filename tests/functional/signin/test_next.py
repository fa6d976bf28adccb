"""Where to go after signing in: on this site, wherever a request would rather go."""

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
def test_a_path_of_this_site_is_gone_to(browser_wire, ada, code_for, target, location, carrier):
    code = code_for(ada.email, by=browser_wire)
    fields = {"identity": ada.email, "passcode": code}
    query = {"next": target} if carrier == "query" else {}
    fields |= {"next": target} if carrier == "field" else {}
    token = browser_wire.fetch_csrf()
    answer = browser_wire.send("POST", "/us-signin", query_string=query, data=fields | {"csrf_token": token})
    assert (answer.status, answer.location) == (302, location)


def test_the_field_beats_the_query(browser_wire, ada, code_for):
    code = code_for(ada.email, by=browser_wire)
    answer = browser_wire.post("/us-signin?next=/query", identity=ada.email, passcode=code, next="/field")
    assert answer.location == "/field"


@pytest.mark.settings(post_login_url="/us-setup")
def test_without_next_the_configured_page_is_gone_to(browser_wire, ada, code_for):
    code = code_for(ada.email, by=browser_wire)
    assert browser_wire.post("/us-signin", identity=ada.email, passcode=code).location == "/us-setup"


@pytest.mark.settings(limits=False)
def test_a_field_that_leads_away_is_refused_and_nothing_happens(wire, ada, code_for):
    code = code_for(ada.email)
    for target in EVIL:
        answer = wire.post("/us-signin", identity=ada.email, passcode=code, next=target)
        assert (answer.status, answer.codes) == (400, ["invalid_redirect"]), target
    assert wire.signed_in_as() is None
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


@pytest.mark.one_database
@pytest.mark.parametrize("path", ["/us-signin", "/us-signin/send-code", "/register"])
def test_a_field_that_is_no_address_at_all_is_refused_on_a_page_that_can_be_shown(wire, path):
    who = {"identity": "ada@example.com", "email": "ada@example.com", "passcode": "00000000", "chosen_method": "email"}
    answer = wire.post(path, next="http://[evil", **who)
    assert (answer.status, answer.codes) == (400, ["invalid_redirect"])


@pytest.mark.settings(limits=False)
def test_a_query_that_leads_away_is_not_followed(browser_wire, people, clock):
    eve = people.open(methods=["authenticator"], email="eve@example.com")
    for target in EVIL:
        browser = browser_wire.elsewhere()
        assert not browser.send("GET", "/us-signin", query_string={"next": target}).page.value("next"), target
        clock.shift(60)
        fields = {"identity": eve.email, "passcode": eve.app_code(), "csrf_token": browser.fetch_csrf()}
        answer = browser.send("POST", "/us-signin", query_string={"next": target}, data=fields)
        assert (answer.status, answer.location) == (302, "/"), target


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_no_code_is_sent_on_the_way_to_somewhere_else(wire, ada, deliver, target):
    answer = wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email", next=target)
    assert (answer.status, answer.codes) == (400, ["invalid_redirect"])
    assert deliver() == []


def test_a_program_is_not_redirected(json_wire, ada, code_for):
    code = code_for(ada.email, by=json_wire)
    answer = json_wire.post("/us-signin?next=/us-setup", identity=ada.email, passcode=code, next="/us-setup")
    assert (answer.status, answer.location) == (200, None)


@pytest.mark.parametrize("value", [5, True, {"a": "b"}, [["/x"]]])
def test_a_next_that_is_no_text_is_refused(json_wire, ada, code_for, value):
    code = code_for(ada.email, by=json_wire)
    answer = json_wire.post("/us-signin", identity=ada.email, passcode=code, next=value)
    assert (answer.status, answer.codes) == (400, ["api_error"])


def test_the_way_on_survives_the_sending_of_a_code(browser_wire, ada):
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
def test_a_front_end_that_the_settings_name_keeps_its_path(browser_wire, ada, code_for, target, location):
    code = code_for(ada.email, by=browser_wire)
    answer = browser_wire.post("/us-signin", identity=ada.email, passcode=code, next=target)
    assert (answer.location, answer.codes) == ((location, []) if location else (None, ["invalid_redirect"]))
