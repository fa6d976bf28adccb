"""/: the account page, or the sign-in page for people who aren't signed in."""

from __future__ import annotations

import pytest

from tests.signed_in import give_token, sign_in

PHONE = "+16502530000"


def test_anonymous_browser_is_redirected_to_sign_in(browser_wire):
    answer = browser_wire.get("/")
    assert (answer.status, answer.location) == (302, "/us-signin")


def test_anonymous_api_client_gets_401(json_wire, program):
    for client in (json_wire, program):
        answer = client.get("/")
        assert (answer.status, answer.codes) == (401, ["unauthenticated"])
        assert "field_errors" not in answer.json


def test_json_home_returns_user_and_authentication_methods(people, json_wire, rows):
    from app.users import User

    ada = people.open(email="ada@example.com", phone=PHONE, username="ada", methods=["sms", "email"])
    answer = sign_in(json_wire, ada).get("/")
    assert answer.json.pop("csrf_token")
    assert answer.json == {
        "user": {"id": rows(User)[0].handle, "email": ada.email, "phone": PHONE, "username": "ada"},
        "aal": 1,
        "active_methods": ["email", "sms"],
        "amr": ["email"],
        "last_sign_in": None,
        "recovery_codes_left": 0,
        "second_factors": [],
    }


def test_access_token_identifies_its_user(people, program):
    ada = people.open(email="ada@example.com")
    assert give_token(program, ada).get("/").json["user"]["email"] == ada.email


def test_home_page_shows_identities_methods_and_session(people, browser_wire):
    ada = people.open(email="ada@example.com", phone=PHONE, username="ada-l", methods=["email", "authenticator"])
    answer = sign_in(browser_wire, ada).get("/")
    assert answer.status == 200
    shown = ["ada@example.com", "+1 650-253-0000", "ada-l", "Email code", "Authenticator app", "Firefox on Linux"]
    assert [text for text in shown if text not in answer.text] == []
    assert ada.authenticator not in answer.text


@pytest.mark.one_database
def test_sign_out_is_a_form_and_not_a_link(people, browser_wire):
    page = sign_in(browser_wire, people.open(email="ada@example.com")).get("/").page
    out = [form for form in page.forms if form.get("action") == "/logout"]
    assert out
    assert all(form.get("method") == "post" for form in out)
    assert not [link for link in page.links if "logout" in link]
    assert page.value("csrf_token")


@pytest.mark.one_database
def test_user_agent_is_escaped(people, browser_wire):
    mark = "<script>alert(1)</script>"
    ada = people.open(email="ada@example.com")
    answer = sign_in(browser_wire.elsewhere(agent=f"Firefox/140 {mark}"), ada).get("/")
    assert answer.status == 200
    assert mark not in answer.text


@pytest.mark.one_database
def test_home_page_writes_nothing_to_the_database(people, wire, statements):
    sign_in(wire, people.open(email="ada@example.com"))
    with statements() as seen:
        wire.get("/")
    assert {statement.split()[0] for statement in seen} == {"SELECT"}


@pytest.mark.one_database
def test_malformed_session_cookie_is_anonymous(wire):
    for value in ("x", "a" * 43, "a" * 4000, "%00", "é"):
        wire.client.set_cookie("latchkey_session", value)
        assert wire.get("/").status == (401 if wire.language == "json" else 302)
