"""The code page can be reopened: phones discard the tab while people read their mail."""

from __future__ import annotations

import pytest

from tests.signed_in import sign_in
from tests.sinks import code_in

SEND, PAGE = "/us-signin/send-code", "/us-signin"
COOKIE = "latchkey_asked"


@pytest.fixture
def asked(browser_wire, ada):
    """Ada's browser, which has requested a code; its answer is in ``browser_wire.answer``."""
    answer = browser_wire.post(SEND, identity=" Ada@Example.com", chosen_method="email", next="/sessions", remember="y")
    assert (answer.status, answer.location) == (303, f"{PAGE}?next=%2Fsessions")
    return browser_wire


def test_every_sign_in_url_reopens_the_code_page(asked):
    first = asked.get(PAGE).page
    for path in (PAGE, "/login", f"{PAGE}?next=/sessions"):
        page = asked.get(path).page
        assert page.heading == "Check your email"
        assert page.value("identity") == " Ada@Example.com"
        assert page.value("next") == "/sessions"
        assert page.value("remember") == "y"
        assert page.value("challenge") == first.value("challenge")
    assert asked.follow(asked.get(SEND)).page.heading == "Check your email"


def test_reopened_code_page_signs_in(asked, ada, mail_to):
    page = asked.get(PAGE).page
    fields = {name: page.value(name) for name in ("identity", "chosen_method", "next")}
    done = asked.post(PAGE, passcode=code_in(mail_to(ada.email)), **fields)
    assert (done.status, done.location) == (302, "/sessions")
    assert COOKIE not in asked.cookies
    assert asked.signed_in_as() == ada.email


def test_reopened_code_page_shows_the_support_id(asked, rows):
    from app.audit import Event

    (event,) = rows(Event, name="challenge.started")
    assert event.support_id in asked.get(PAGE).text


def test_reopened_code_page_lets_the_user_start_over(asked):
    (again,) = {link for link in asked.get(PAGE).page.links if "new=1" in link}
    assert "next=/sessions" in again, "wherever the page leads back to the start from"
    assert asked.get(again).page.heading == "Sign in"
    assert asked.get(PAGE).page.heading == "Sign in"


def test_expired_request_shows_the_sign_in_page_and_keeps_next(browser_wire, ada, clock):
    answer = browser_wire.post(SEND, identity=ada.email, next="/sessions")
    clock.shift(601)
    page = browser_wire.follow(answer).page
    assert (page.heading, page.value("next")) == ("Sign in", "/sessions")


@pytest.mark.parametrize("why", ["used", "expired", "another browser", "changed", "nobody's"])
def test_code_page_is_not_reopened_for_an_ended_or_foreign_request(asked, why, clock, ada, mail_to, wire):
    browser = asked
    if why == "used":
        assert asked.post(PAGE, identity=ada.email, passcode=code_in(mail_to(ada.email))).ok
        asked.post("/logout")
    elif why == "expired":
        clock.shift(601)
    elif why == "another browser":
        browser = asked.elsewhere()
        browser.client.set_cookie(COOKIE, asked.cookies[COOKIE])
    elif why == "changed":
        asked.client.set_cookie(COOKIE, asked.cookies[COOKIE][:-2] + "xx")
    else:
        asked.client.delete_cookie("latchkey_browser")
    assert browser.get(PAGE).page.heading == "Sign in"


def test_code_page_is_not_reopened_after_a_request_for_another_identity(asked):
    from tests.wire import Wire

    script = Wire(asked.app, "json")
    script.client = asked.client
    assert script.post(SEND, identity="bob@example.com", chosen_method="email").ok
    assert asked.get(PAGE).page.heading == "Sign in"


@pytest.mark.one_database
@pytest.mark.parametrize("kept", ["", "v1", "v1.00000000.a.b", "é", "x" * 3000])
def test_malformed_asked_cookie_is_ignored(browser_wire, kept):
    browser_wire.client.set_cookie(COOKIE, kept)
    assert browser_wire.get(PAGE).status == 200


def test_asked_cookie_does_not_reveal_the_identity(asked):
    kept = asked.cookies[COOKIE]
    assert "ada" not in kept.lower()


@pytest.mark.both_databases
def test_reopening_takes_one_statement_and_none_without_a_request(asked, statements):
    with statements() as seen:
        asked.get(PAGE)
    assert len(seen) == 1
    with statements() as seen:
        asked.elsewhere().get(PAGE)
    assert seen == []


def test_rate_limited_resend_stays_on_the_code_page(make_app, people, browser_wire):
    from tests.wire import Wire

    people.open(email="ada@example.com")
    browser = Wire(make_app(starts_per_address=1), "form")
    for _ in range(2):
        answer = browser.post(SEND, identity="ada@example.com", chosen_method="email")
    assert (answer.status, answer.page.heading) == (429, "Check your email")
    answer = browser.post(SEND, identity="bob@example.com", chosen_method="email")
    assert (answer.status, answer.page.heading) == (429, "Sign in")


def test_json_client_gets_no_asked_cookie(json_wire, ada):
    answer = json_wire.post(SEND, identity=ada.email, chosen_method="email")
    assert answer.status == 200
    assert COOKIE not in json_wire.cookies
    assert "identity" not in json_wire.get(PAGE).json


def test_overlong_next_is_dropped_but_the_code_page_reopens(browser_wire, ada):
    browser_wire.post(SEND, identity=ada.email, chosen_method="email", next="/" + "a" * 2040)
    assert len(browser_wire.cookies[COOKIE]) < 4000
    assert browser_wire.get(PAGE).page.heading == "Check your email"


def test_reauthentication_code_page_is_shown_only_to_the_requesting_user(browser_wire, ada, people):
    hers = sign_in(browser_wire, ada)
    assert hers.post("/us-verify/send-code", chosen_method="email").ok
    assert "passcode" in [name for name, _ in hers.get("/us-verify").page.inputs]
    bob = people.open(email="bob@example.com")
    page = sign_in(hers, bob).get("/us-verify")
    assert ada.email not in page.text
    assert page.page.heading == "Confirm it's you"
