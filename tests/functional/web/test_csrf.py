"""Cross-site request forgery: every unsafe request with a cookie needs its session's token and our origin."""

from __future__ import annotations

import json

import pytest

from app.challenges.models import Challenge
from tests.functional.web.conftest import addresses, shared_out, wants_signed_in
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in

TYPED = {
    "identity": "ada@example.com",
    "email": "ada@example.com",
    "chosen_method": "email",
    "passcode": "12345678",
    "token": "x",
    "id": "x",
    "code": "123456",
    "help_setup": "help",
    "proof": "x",
    "refresh_token": "x",
    "name": "x",
    "scopes": "read",
    "expires_in_days": "1",
    "which": "authenticator",
    "setup": "authenticator",
    "username": "ada",
    "new_name": "y",
    "credential": "{}",
    "client": "x",
    "request": "x",
    "app": "x",
    "state": "x",
    "user_code": "x",
    "allow": "yes",
    "group": "x",
    "url": "https://x.example",
    "events": "*",
}


OF_PROXIES = ("/gate/nginx", "/gate/nginx/refused", "/gate/forward", "/gate/envoy", "/gate/envoy/x")
"""No visitor is taken for a proxy."""

HEADERS = {"Authentication-Token": "{}", "Authorization": "Bearer {}"}
"""Where a program's token may stand."""

PAGES_OF_BROWSERS = ("/tf-setup/x", "/us-setup/x")
"""Pages that show a browser what it has begun. A program has that from the first answer, and only posts to them."""


def is_taken(answer) -> bool:
    """Return whether the response is anything but a CSRF error."""
    return not [code for code in answer.codes if code.startswith("csrf")]


def refuses(answer, code: str) -> bool:
    """Return whether ``answer`` is a CSRF error in its format, with a visible message."""
    where = "csrf_token" if answer.language == "json" else ""
    return answer.status == 400 and answer.codes == [code] and list(answer.errors) == [where]


def asks_for_one(client, path: str) -> bool:
    """Return whether ``path`` requires a token: JSON without a session cookie needs none."""
    return client.language == "form" or wants_signed_in(path)


@pytest.fixture
def hers(wire, people):
    """Ada's browser and an API client with cookies, signed in."""
    return sign_in(wire, people.open(email="ada@example.com"))


def test_every_unsafe_request_requires_a_csrf_token(app, visitor, unchanged):
    for path in addresses(app, "POST"):
        client = visitor(path)
        if not asks_for_one(client, path):
            continue
        with unchanged():
            answer = client.post(path, csrf=None, **TYPED)
        assert refuses(answer, "csrf_token_missing"), (path, answer, answer.codes)
        assert "latchkey_session" not in answer.headers.get("Set-Cookie", "")


@pytest.mark.one_database
def test_csrf_token_of_another_visitor_is_rejected_everywhere(app, visitor, people, unchanged):
    for path in addresses(app, "POST"):
        client, other = visitor(path), visitor(path).elsewhere()
        if not asks_for_one(client, path):
            continue
        client.fetch_csrf()
        token = other.fetch_csrf()
        with unchanged():
            answer = client.post(path, csrf=token, **TYPED)
        assert refuses(answer, "csrf_token_invalid"), (path, answer, answer.codes)


FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null", "Referer": "https://evil.example/form"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost@evil.example"},
    {"Origin": "https://localhost"},
    {"Origin": "http://[::1"},
    {"Origin": "http://localhost:99999999"},
    {"Referer": "https://evil.example/form"},
    {"Referer": "http://["},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
)
"""What a browser says of a form that stands at another site."""


@pytest.mark.one_database
def test_cross_site_request_is_rejected_everywhere(app, visitor, unchanged):
    for path, headers in shared_out(addresses(app, "POST"), FOREIGN, each=5):
        client = visitor(path)
        with unchanged():
            answer = client.post(path, csrf=client.fetch_csrf(), headers=headers, **TYPED)
        assert refuses(answer, "csrf_origin_foreign"), (path, headers, answer, answer.codes)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost"},
        {"Referer": "http://localhost/us-signin"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "null"},
        {"Origin": "null", "Referer": "http://localhost/us-signin"},
    ],
    ids=str,
)
def test_same_origin_request_is_accepted(wire, headers):
    assert wire.post("/logout", headers=headers).ok


@pytest.mark.one_database
def test_null_origin_is_accepted_only_with_a_csrf_token(app, visitor, unchanged):
    for path in addresses(app, "POST"):
        client = visitor(path)
        if not asks_for_one(client, path):
            continue
        with unchanged():
            answer = client.post(path, csrf=None, headers={"Origin": "null"}, **TYPED)
        assert refuses(answer, "csrf_token_missing"), (path, answer, answer.codes)
        client.fetch_csrf()
        answer = client.post(path, headers={"Origin": "null"}, **TYPED)
        assert not {code for code in answer.codes if code.startswith("csrf_")}, (path, answer, answer.codes)
        visitor.leave()


@pytest.mark.one_database
@pytest.mark.parametrize("given", ["", "x", "é", "\ud83d\ude00", "A" * 60, "-_" * 30, "=" * 60, "A" * 5000, "1.2.3"])
def test_malformed_csrf_token_is_rejected(hers, given):
    hers.fetch_csrf()
    answer = hers.post("/logout", csrf=given.encode("utf-16", "surrogatepass").decode("utf-16"))
    assert refuses(answer, "csrf_token_invalid" if given else "csrf_token_missing")


@pytest.mark.one_database
def test_altered_csrf_token_is_rejected(hers):
    token = hers.fetch_csrf()
    for at in range(0, len(token) - 4, 7):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert refuses(hers.post("/logout", csrf=changed), "csrf_token_invalid"), at


@pytest.mark.one_database
def test_csrf_token_expires_after_24_hours(hers, clock):
    token = hers.fetch_csrf()
    clock.shift(24 * 3600 - 2)
    assert is_taken(hers.post("/us-verify", csrf=token, passcode="123456"))
    clock.shift(4)
    assert refuses(hers.post("/us-verify", csrf=token, passcode="123456"), "csrf_token_expired")


@pytest.mark.one_database
def test_csrf_token_from_before_sign_in_is_rejected_afterwards(wire, people):
    ada = people.open(email="ada@example.com", methods=["authenticator"])
    token = wire.fetch_csrf()
    assert wire.post("/us-signin", csrf=token, identity=ada.email, passcode=ada.app_code()).ok
    assert refuses(wire.post("/us-setup", csrf=token, chosen_method="authenticator"), "csrf_token_invalid")


@pytest.mark.one_database
def test_csrf_token_from_before_sign_out_is_rejected_afterwards(browser_wire, people):
    ada = people.open(email="ada@example.com", methods=["authenticator"])
    assert browser_wire.post("/us-signin", identity=ada.email, passcode=ada.app_code()).ok
    token = browser_wire.fetch_csrf()
    assert browser_wire.post("/logout", csrf=token).ok
    assert refuses(browser_wire.post("/us-signin", csrf=token, **TYPED), "csrf_token_invalid")


@pytest.mark.one_database
def test_csrf_token_survives_reauthentication_and_setup_changes(wire, people, clock):
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"])
    token = sign_in(wire, ada).fetch_csrf()
    before = wire.cookies["latchkey_session"]
    assert wire.post("/us-verify", csrf=token, passcode=ada.app_code()).ok
    assert wire.post("/us-setup", csrf=token, delete_method="email").ok
    assert wire.cookies["latchkey_session"] != before, "the session's own token does change"
    assert is_taken(wire.post("/us-verify", csrf=token, passcode="123456"))


@pytest.mark.one_database
def test_all_csrf_tokens_of_a_session_are_valid(hers):
    first, second = hers.fetch_csrf(), hers.fetch_csrf()
    assert first != second
    for token in (first, second, first):
        assert is_taken(hers.post("/us-verify", csrf=token, passcode="123456"))


@pytest.mark.one_database
@pytest.mark.parametrize("header", ["X-CSRFToken", "X-CSRF-Token", "X-XSRF-Token"])
def test_csrf_token_is_accepted_in_a_header(hers, header):
    assert hers.post("/logout", csrf=None, headers={header: hers.fetch_csrf()}).ok


@pytest.mark.one_database
def test_csrf_token_in_the_query_is_ignored(hers):
    answer = hers.post(f"/logout?csrf_token={hers.fetch_csrf()}", csrf=None)
    assert refuses(answer, "csrf_token_missing")


@pytest.mark.one_database
@pytest.mark.parametrize("given", [5, True, {"a": 1}, ["x", "y"], 1.5])
def test_csrf_token_that_is_not_a_string_is_rejected(json_wire, people, given):
    sign_in(json_wire, people.open(email="ada@example.com")).fetch_csrf()
    answer = json_wire.post("/logout", csrf=given)
    assert answer.status == 400
    assert list(answer.errors) == ["csrf_token"]


def test_access_token_without_cookie_requires_no_csrf_token(program, people):
    give_token(program, people.open(email="ada@example.com"))
    assert program.post("/us-setup", chosen_method="authenticator").ok


@pytest.mark.one_database
@pytest.mark.parametrize("header", HEADERS)
def test_access_token_takes_precedence_over_cookies_and_requires_no_csrf_token(hers, program, people, rows, header):
    eve = people.open(email="eve@example.com")
    headers = {header: HEADERS[header].format(give_token(program, eve).token)}
    assert hers.post("/us-setup", csrf=None, headers=headers, chosen_method="authenticator").ok
    assert [row.user_id for row in rows(Challenge, purpose="setup")] == [eve.id], (
        "the token says who asks, no cookie does"
    )


@pytest.mark.one_database
@pytest.mark.parametrize("header", HEADERS)
def test_invalid_access_token_does_not_fall_back_to_the_cookie(hers, unchanged, header):
    headers = {header: HEADERS[header].format("x" * 43)}
    with unchanged():
        answer = hers.post("/us-setup", csrf=None, headers=headers, chosen_method="authenticator")
    assert (answer.status, (answer.location or "")[:6]) in [(401, ""), (302, "/login")]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "value", ["Basic YWRhOngxMjM0NTY=", "Bearer", "Bearer eyJh.eyJz.c2ln", "Bearer x", "Digest a=b", "é"]
)
def test_unrelated_authorization_header_does_not_waive_the_csrf_token(hers, value):
    """A browser sends Basic by itself, and a proxy may add a bearer token of its own to each request."""
    answer = hers.post("/us-setup", csrf=None, headers={"Authorization": value}, chosen_method="authenticator")
    assert refuses(answer, "csrf_token_missing")
    assert hers.get("/", headers={"Authorization": value}).ok


@pytest.mark.one_database
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "application/vnd.api+json"]
)
def test_json_request_without_session_requires_no_csrf_token(json_wire, people, mail_to, content_type):
    ada = people.open(email="ada@example.com")
    json_wire.get("/us-signin")
    assert "latchkey_browser" in json_wire.cookies

    def post(path, **members):
        return json_wire.send("POST", path, data=json.dumps(members), content_type=content_type)

    assert post("/us-signin/send-code", identity=ada.email, chosen_method="email").ok
    assert post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email))).ok
    assert json_wire.signed_in_as() == ada.email
    assert refuses(post("/us-setup", chosen_method="authenticator"), "csrf_token_missing"), "but with a session it does"


@pytest.mark.one_database
@pytest.mark.parametrize("given", [None, "x"])
def test_csrf_error_returns_a_valid_csrf_token(json_wire, people, given):
    ada = people.open(email="ada@example.com")
    sign_in(json_wire, ada)
    refused = json_wire.post("/us-setup", csrf=given, chosen_method="authenticator")
    assert refused.status == 400
    assert json_wire.post("/us-setup", csrf=refused.json["csrf_token"], chosen_method="authenticator").ok
    foreign = json_wire.post("/us-setup", headers={"Origin": "https://evil.example"}, chosen_method="authenticator")
    assert foreign.codes == ["csrf_origin_foreign"]
    assert "csrf_token" in foreign.json


@pytest.mark.one_database
def test_form_without_cookie_is_rejected(app, browser_wire):
    for path in addresses(app, "POST"):
        if not wants_signed_in(path):
            answer = browser_wire.elsewhere().post(path, csrf=None, **TYPED)
            assert (answer.status, answer.codes) == (400, ["csrf_token_missing"]), path


@pytest.mark.one_database
def test_csrf_token_without_its_cookie_is_rejected_with_its_own_error(browser_wire):
    token = browser_wire.fetch_csrf()
    answer = browser_wire.elsewhere().post("/us-signin/send-code", csrf=token, **TYPED)
    assert refuses(answer, "csrf_session_token_missing")


@pytest.mark.one_database
@pytest.mark.parametrize("content_type", ["text/plain", "text/plain;charset=utf-8", "", "application/jsonx"])
def test_json_body_with_a_simple_content_type_is_rejected(browser_wire, unchanged, content_type):
    """A foreign page can send these without asking first; JSON it cannot."""
    body = '{"identity": "ada@example.com", "chosen_method": "email"}'
    with unchanged():
        answer = browser_wire.send("POST", "/us-signin/send-code", data=body, content_type=content_type)
    assert answer.status == 400


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("path", "field"),
    [("/us-signin", "identity"), ("/us-signin/send-code", "identity"), ("/register", "email"), ("/confirm", "email")],
)
def test_form_is_shown_again_with_typed_values_after_csrf_error(browser_wire, path, field):
    browser_wire.fetch_csrf()
    answer = browser_wire.post(path, csrf="x", **TYPED)
    assert answer.codes == ["csrf_token_invalid"]
    assert answer.page.value(field) == "ada@example.com"
    again = {**TYPED, "passcode": ""}
    assert "csrf" not in str(browser_wire.post(path, csrf=answer.page.value("csrf_token"), **again).codes)


@pytest.mark.one_database
def test_typed_phone_number_is_kept_after_csrf_error(browser_wire, people):
    sign_in(browser_wire, people.open(email="ada@example.com"))
    answer = browser_wire.post("/us-setup", csrf="x", chosen_method="sms", phone="+16502530000")
    assert answer.page.value("phone") == "+16502530000"


@pytest.mark.one_database
def test_safe_requests_require_no_csrf_token(app, visitor):
    for path in addresses(app, "GET"):
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        answer = visitor(path).get(path, headers=headers)
        assert is_taken(answer), (path, answer, answer.codes)
        if answer.language == "json" and path in PAGES_OF_BROWSERS:
            assert answer.status == 405, path
        else:
            expected = (403,) if path in OF_PROXIES else (200, 302, 400, 401, 404)
            assert answer.status in expected, path
