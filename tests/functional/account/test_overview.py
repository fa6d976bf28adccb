"""/: what protects an account, what is missing, and the previous sign-in."""

from __future__ import annotations

import html

import pytest

from tests.signed_in import sign_in

PHONE = "+16502530000"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile Safari/604.1"


def told(page) -> str:
    return " ".join(html.unescape(page.text).split())


def make_codes(wire) -> None:
    """Create recovery codes."""
    assert wire.post("/mf-recovery-codes").ok


def test_overview_lists_recommendations_for_user_with_one_method(browser_wire, people):
    page = sign_in(browser_wire, people.open(email="ada@example.com")).get("/")
    text = told(page)
    assert "4 recommendations to make your account safer, most important first." in text
    titles = ["1 sign-in method", "No passkey yet", "Two-step verification is off", "No recovery codes"]
    assert sorted(titles, key=text.index) == titles
    assert {"/us-setup", "/tf-setup", "/mf-recovery-codes"} <= set(page.page.links)


def test_overview_of_fully_protected_user_has_nothing_left_to_do(browser_wire, people):
    methods = ["email", "sms", "authenticator"]
    ada = people.open(email="ada@example.com", phone=PHONE, methods=methods, second="authenticator")
    make_codes(sign_in(browser_wire, ada))
    browser_wire.post("/passkey-offer/not-now")
    text = told(browser_wire.get("/"))
    assert "There's nothing left to do" in text
    assert "2 sign-in methods" in text
    assert "Two-step verification is on" in text
    assert "10 recovery codes left" in text
    assert "To do" not in text


def test_app_used_as_second_step_is_not_counted_as_sign_in_method(browser_wire, people):
    """Without the mailbox its owner could not begin to sign in."""
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"], second="authenticator")
    make_codes(sign_in(browser_wire, ada))
    text = told(browser_wire.get("/"))
    assert "2 recommendations to make your account safer, most important first." in text
    assert "1 sign-in method" in text
    assert "Two-step verification is on" in text


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("methods", "risk"),
    [
        (["email", "password"], "Anyone who can read your email can sign in."),
        (["sms"], "Anyone who gets your text messages can sign in."),
        (["password"], "Anyone who knows your password can sign in."),
    ],
)
@pytest.mark.settings(methods=["email", "sms", "authenticator", "password"])
def test_risk_without_second_step_names_the_users_sign_in_method(browser_wire, people, methods, risk):
    ada = people.open(email="ada@example.com", phone=PHONE, password="correct horse battery", methods=methods)
    sign_in(browser_wire, ada, via=methods[0])
    assert risk in told(browser_wire.get("/"))
    assert risk in told(browser_wire.get("/us-setup"))


@pytest.mark.one_database
def test_second_step_is_not_recommended_for_methods_that_need_none(browser_wire, people):
    ada = people.open(email="ada@example.com", methods=["authenticator"])
    text = told(sign_in(browser_wire, ada, via="authenticator").get("/"))
    assert "Two-step verification isn't needed" in text
    assert "Two-step verification is off" not in text
    assert "can sign in" not in told(browser_wire.get("/us-setup"))


@pytest.mark.one_database
@pytest.mark.settings(methods=["email"], passkeys=False, second_factor="off")
def test_disabled_features_are_not_recommended(browser_wire, people):
    page = sign_in(browser_wire, people.open(email="ada@example.com")).get("/")
    text = told(page)
    assert "1 recommendation to make your account safer." in text
    assert "No recovery codes" in text
    assert "1 sign-in method" not in text
    assert "No passkey yet" not in text


@pytest.mark.one_database
@pytest.mark.settings(methods=["email", "sms"], passkeys=False)
def test_another_method_is_recommended_while_one_is_available(browser_wire, people):
    text = told(sign_in(browser_wire, people.open(email="ada@example.com")).get("/"))
    assert "1 sign-in method" in text
    assert "Add another" in text


@pytest.mark.settings(second_factor="off")
def test_second_step_is_not_mentioned_when_disabled(browser_wire, people):
    text = told(sign_in(browser_wire, people.open(email="ada@example.com")).get("/"))
    assert "Second step" not in text
    assert "3 recommendations to make your account safer" in text


@pytest.mark.parametrize(
    ("used", "title"), [(7, "3 recovery codes left"), (9, "1 recovery code left"), (10, "0 recovery codes left")]
)
def test_new_recovery_codes_are_recommended_when_few_are_left(browser_wire, people, database, used, title):
    make_codes(sign_in(browser_wire, people.open(email="ada@example.com")))
    ids = [row[0] for row in database.query("SELECT id FROM recovery_code")][:used]
    for code in ids:
        database.query(f"UPDATE recovery_code SET used_at = created_at WHERE id = '{code}' RETURNING id")
    text = told(browser_wire.get("/"))
    assert title in text
    assert "It's time to create new ones." in text


def test_overview_shows_the_previous_sign_in(wire, people, clock):
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"])
    phone = wire.elsewhere(agent=SAFARI)
    assert phone.post("/us-signin", identity=ada.email, passcode=ada.app_code()).ok
    clock.shift(3600)
    sign_in(wire, ada)
    clock.shift(60)
    sign_in(wire.elsewhere(), ada, via="email")
    answer = wire.get("/")
    if answer.json:
        before = answer.json["last_sign_in"]
        assert (before["browser"], before["method"]) == ("Safari on iPhone or iPad", "authenticator")
    else:
        assert "Safari on iPhone or iPad" in told(answer)
        assert "<dd>Authenticator app</dd>" in told(answer)


def test_overview_says_when_this_is_the_first_sign_in(browser_wire, people):
    assert "This is your first sign-in." in told(sign_in(browser_wire, people.open()).get("/"))


def test_json_overview_contains_second_factors_and_recovery_codes_left(json_wire, people):
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"], second="authenticator")
    make_codes(sign_in(json_wire, ada))
    answer = json_wire.get("/").json
    assert (answer["second_factors"], answer["recovery_codes_left"]) == (["authenticator"], 10)


@pytest.mark.one_database
def test_query_count_does_not_depend_on_enrolled_methods(wire, people, statements):
    costs = set()
    bob = people.open(email="bob@example.com", phone=PHONE, methods=["email", "authenticator", "sms"])
    for person in (people.open(email="ada@example.com"), bob):
        sign_in(wire, person)
        with statements() as seen:
            wire.get("/")
        costs.add(len(seen))
    assert len(costs) == 1
