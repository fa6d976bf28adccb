"""Content negotiation: JSON for clients that send or prefer it, pages for all others."""

from __future__ import annotations

import pytest

from tests.signed_in import sign_in

pytestmark = pytest.mark.one_database

PAGE, JSON = "text/html", "application/json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        (None, PAGE),
        ("", PAGE),
        ("*/*", PAGE),
        (BROWSER, PAGE),
        ("text/html", PAGE),
        ("application/vnd.api+json", PAGE),
        ("application/json;q=0.8, text/html", PAGE),
        ("text/html;q=0.9, application/json;q=0.8", PAGE),
        ("application/*", PAGE),
        ("text/json", PAGE),
        ("application/jsonp", PAGE),
        ("application/json", JSON),
        ("APPLICATION/JSON", JSON),
        ("application/json; charset=utf-8", JSON),
        ("application/json, text/plain, */*", JSON),
        ("application/json, text/html;q=0.9", JSON),
        ("text/html;q=0.8, application/json;q=0.9", JSON),
    ],
)
def test_response_format_follows_the_accept_header(client, accept, language):
    headers = {} if accept is None else {"Accept": accept}
    for path in ("/us-signin", "/nothing"):
        assert client.get(path, headers=headers).mimetype == language, path


@pytest.mark.parametrize(
    ("kind", "accept", "language"),
    [
        ("application/json", "text/html", JSON),
        ("application/json", BROWSER, JSON),
        ("application/json; charset=utf-8", None, JSON),
        ("Application/JSON;a=b", "*/*", JSON),
        ("application/x-www-form-urlencoded", "application/json", JSON),
        ("multipart/form-data; boundary=x", "application/json", JSON),
        ("application/x-www-form-urlencoded", BROWSER, PAGE),
        ("application/vnd.api+json", "*/*", JSON),
        ("application/problem+json; charset=utf-8", BROWSER, JSON),
        ("text/json", "*/*", PAGE),
        ("text/x+json", "*/*", PAGE),
        ("text/plain", None, PAGE),
    ],
)
def test_response_format_of_posts_follows_content_type_then_accept(client, kind, accept, language):
    headers = {} if accept is None else {"Accept": accept}
    for path in ("/us-signin", "/register", "/logout", "/nothing"):
        assert client.post(path, data=b"", content_type=kind, headers=headers).mimetype == language, path


def test_body_of_unknown_type_is_treated_as_empty_form(browser_wire):
    browser_wire.fetch_csrf()
    body = f"csrf_token={browser_wire._csrf}&identity=ada@example.com"
    answer = browser_wire.send("POST", "/us-signin", data=body, content_type="text/plain")
    assert (answer.status, answer.codes) == (400, ["csrf_token_missing"])
    assert answer.page.value("csrf_token")


def test_json_suffix_content_type_is_read_as_json(browser_wire):
    browser_wire.fetch_csrf()
    body = f'{{"csrf_token": "{browser_wire._csrf}", "identity": "ada@example.com", "chosen_method": "email"}}'
    kind = "application/vnd.api+json"
    answer = browser_wire.send("POST", "/us-signin/send-code", data=body, content_type=kind)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")


def test_form_accepting_json_gets_a_json_response(browser_wire):
    fields = {"csrf_token": browser_wire.fetch_csrf(), "identity": "ada@example.com", "chosen_method": "email"}
    answer = browser_wire.send("POST", "/us-signin/send-code", data=fields, headers={"Accept": "application/json"})
    assert answer.status == 200
    assert set(answer.json) == {
        "challenge", "csrf_token", "expires_in", "link_characters", "resend_after", "support_id", "tag",
    }  # fmt: skip


def test_json_envelope_contains_status_and_sorted_keys(client):
    for path in ("/us-signin", "/register", "/nothing", "/us-setup"):
        answer = client.get(path, headers={"Accept": "application/json"})
        body = answer.get_json()
        assert set(body) == {"meta", "response"}
        assert body["meta"] == {"code": answer.status_code}
        assert list(body["response"]) == sorted(body["response"])
        assert answer.content_type == "application/json"


def test_successful_json_responses_have_a_csrf_token_and_errors_do_not(json_wire, people):
    assert json_wire.get("/us-signin").json["csrf_token"]
    assert "csrf_token" not in json_wire.post("/us-signin", identity="nobody@example.com", passcode="1").json
    sign_in(json_wire, people.open(email="ada@example.com"))
    for path in ("/us-signin", "/", "/us-setup", "/us-verify"):
        assert json_wire.get(path).json["csrf_token"], path
    assert json_wire.post("/logout").json == {}


@pytest.mark.parametrize(
    ("body", "first"),
    [
        ({"identity": ["nobody@example.com", "x"], "chosen_method": "email"}, 200),
        ({"identity": "nobody@example.com", "chosen_method": ["email"]}, 200),
        ({"identity": "nobody@example.com", "chosen_method": "email", "unknown": {"a": 1}}, 200),
        ({"identity": None, "chosen_method": "email"}, 400),
        ({"identity": 5, "chosen_method": "email"}, 400),
    ],
)
def test_json_members_are_read_like_form_fields(json_wire, body, first):
    assert json_wire.post("/us-signin/send-code", **body).status == first


def test_wrong_type_is_reported_on_its_field(json_wire):
    answer = json_wire.post("/us-signin", identity=5, passcode=1.5, next={})
    assert set(answer.json["field_errors"]) == {"identity", "next", "passcode"}
    assert answer.codes == ["api_error"] * 3


def test_errors_and_error_codes_correspond(json_wire):
    answer = json_wire.post("/us-signin/send-code", chosen_method="pigeon")
    told = answer.json
    assert len(told["errors"]) == len(told["error_codes"]) == 2
    assert sorted(text for texts in told["field_errors"].values() for text in texts) == sorted(told["errors"])
    assert set(told) == {"errors", "error_codes", "field_errors", "support_id"}


@pytest.mark.parametrize("ticked", [True, "y", "on", "true", 1])
def test_remember_is_true_for_truthy_values(json_wire, people, ticked):
    ada = people.open(email="ada@example.com", methods=["authenticator"])
    answer = json_wire.post("/us-signin", identity=ada.email, passcode=ada.app_code(), remember=ticked)
    assert "Max-Age=259" in "".join(answer.headers.getlist("Set-Cookie"))


@pytest.mark.parametrize("ticked", [False, "false", "", None])
def test_remember_is_false_for_false_and_empty_values(json_wire, people, ticked):
    ada = people.open(email="ada@example.com", methods=["authenticator"])
    answer = json_wire.post("/us-signin", identity=ada.email, passcode=ada.app_code(), remember=ticked)
    assert answer.ok
    (session,) = (line for line in answer.headers.getlist("Set-Cookie") if line.startswith("latchkey_session="))
    assert "Max-Age" not in session
