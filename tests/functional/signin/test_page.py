"""GET /us-signin and /login: the methods to sign in with, or who is signed in."""

from __future__ import annotations

import pytest

PATHS = ["/us-signin", "/login"]
ANONYMOUS_ONLY = [
    ("POST", "/us-signin"),
    ("POST", "/login"),
    ("POST", "/us-signin/send-code"),
    ("GET", "/us-verify-link?token=x"),
    ("POST", "/us-verify-link"),
    ("GET", "/register"),
    ("POST", "/register"),
]


@pytest.mark.parametrize("path", PATHS)
def test_json_sign_in_page_lists_methods_and_identity_attributes(json_wire, path):
    answer = json_wire.get(path)
    assert answer.status == 200
    assert set(answer.json) == {"available_methods", "code_methods", "identity_attributes", "csrf_token"}
    assert answer.json["available_methods"] == ["email", "sms", "authenticator"]
    assert answer.json["code_methods"] == ["email", "sms"]
    assert answer.json["identity_attributes"] == ["email", "phone", "username"]


@pytest.mark.settings(methods=["authenticator", "email"], identity_attributes=["username", "email"])
def test_json_lists_keep_the_configured_order(json_wire):
    answer = json_wire.get("/us-signin")
    assert answer.json["available_methods"] == ["authenticator", "email"]
    assert answer.json["code_methods"] == ["email"]
    assert answer.json["identity_attributes"] == ["username", "email"]


def test_json_envelope_has_sorted_keys_and_the_status_code(json_wire):
    answer = json_wire.get("/us-signin")
    body = answer.response.get_json()
    assert body["meta"] == {"code": 200}
    assert list(body) == ["meta", "response"]
    assert list(body["response"]) == sorted(body["response"])
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", PATHS)
def test_sign_in_page_contains_the_form_fields(browser_wire, path):
    page = browser_wire.get(path).page
    assert {"identity", "passcode", "remember", "csrf_token"} <= {name for name, _ in page.inputs}
    assert "/us-signin/send-code" in [button.path for button in page.buttons]
    assert page.value("remember") == "y"


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        ("*/*", "text/html"),
        ("", "text/html"),
        ("text/html,application/json;q=0.9", "text/html"),
        ("application/vnd.api+json", "text/html"),
        ("application/json", "application/json"),
        ("application/json, text/html;q=0.9", "application/json"),
    ],
)
@pytest.mark.one_database
def test_accept_header_selects_html_or_json(client, accept, mimetype):
    answer = client.get("/us-signin", headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, mimetype)


def test_head_request_returns_no_body(wire):
    answer = wire.send("HEAD", "/us-signin")
    assert (answer.status, answer.text) == (200, "")


def test_sign_in_page_keeps_next(browser_wire):
    page = browser_wire.get("/us-signin?next=/us-setup%3Fa%3Db").page
    assert page.value("next") == "/us-setup?a=b"


def test_sign_in_responses_are_no_store_and_vary_by_cookie(wire):
    for answer in (wire.get("/us-signin"), wire.post("/us-signin"), wire.post("/us-signin", csrf=None)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Cookie" in answer.headers["Vary"]


def test_json_sign_in_page_includes_the_signed_in_user(json_wire, ada, sign_in):
    sign_in(ada.email, by=json_wire)
    answer = json_wire.get("/us-signin")
    assert answer.status == 200
    assert {"user", "csrf_token", "available_methods", "code_methods", "identity_attributes"} <= set(answer.json)
    assert answer.json["user"]["id"]


@pytest.mark.parametrize("path", PATHS)
def test_signed_in_browser_is_redirected_home_ignoring_next(browser_wire, ada, sign_in, path):
    sign_in(ada.email, by=browser_wire)
    answer = browser_wire.get(f"{path}?next=/us-setup")
    assert (answer.status, answer.location) == (302, "/")


@pytest.mark.parametrize(("method", "path"), ANONYMOUS_ONLY)
def test_anonymous_only_endpoints_reject_a_signed_in_user(wire, ada, sign_in, method, path):
    sign_in(ada.email)
    answer = wire.post(path, next="/us-setup") if method == "POST" else wire.get(path)
    if wire.language == "form":
        assert (answer.status, answer.location) == (302, "/")
    else:
        assert (answer.status, answer.codes) == (400, ["anonymous_user_required"])
        assert "field_errors" not in answer.json
    assert wire.signed_in_as() == ada.email


@pytest.mark.parametrize("path", ["/us-signin/send-code", "/logout"])
def test_get_on_post_only_endpoint_returns_405_with_allow_header(json_wire, path):
    answer = json_wire.get(path)
    assert (answer.status, answer.codes) == (405, ["method_not_allowed"])
    assert "POST" in answer.headers["Allow"]


@pytest.mark.one_database
def test_code_page_mentions_recovery_for_a_removed_sign_in_method(browser_wire, people):
    people.open(email="ada@example.com", methods=["authenticator"])
    assert browser_wire.post("/us-signin/send-code", identity="ada@example.com", chosen_method="email").ok
    page = browser_wire.get("/us-signin")
    assert "Removed this sign-in method from your account?" in page.text
    assert "/recover" in page.page.links
