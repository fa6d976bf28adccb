"""Nobody can be locked out by others: the owner can sign in while strangers guess and request codes."""

from __future__ import annotations

import itertools

import pytest

from app.audit import Event
from tests.signed_in import sign_in
from tests.sinks import code_in, link_in

pytestmark = [pytest.mark.settings(failures_per_address=10**6, starts_per_address=10**6), pytest.mark.both_databases]

SIGN_IN, SEND = "/us-signin", "/us-signin/send-code"
HOUR = 3600


@pytest.fixture
def ada(people):
    """The owner."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


@pytest.fixture
def attack(json_wire, ada):
    """Guesses that many times from fifty IP addresses, and requests a code once."""
    browsers = itertools.cycle([json_wire.elsewhere(address=f"198.51.100.{number}") for number in range(50)])

    def strike(guesses: int) -> None:
        assert next(browsers).post(SEND, identity=ada.email, chosen_method="email").status == 200
        for _ in range(guesses):
            assert next(browsers).post(SIGN_IN, identity=ada.email, passcode="000000").status == 400

    return strike


@pytest.fixture
def own_browser(json_wire, ada):
    """Ada's browser, in which she has signed in before."""
    browser = json_wire.elsewhere()
    assert browser.post(SIGN_IN, identity=ada.email, passcode=ada.app_code()).ok
    browser.post("/logout")
    return browser


@pytest.mark.one_database
def test_owner_under_attack_can_sign_in_from_a_known_browser(ada, attack, own_browser, clock, rows):
    for _ in range(60):
        attack(5)
        clock.shift(60)
        assert own_browser.post(SIGN_IN, identity=ada.email, passcode=ada.app_code()).ok
        own_browser.post("/logout")
    refused = [each for each in rows(Event, name="sign_in.failed") if each.facts["reason"] == "budget_spent"]
    assert len(refused) == 300 - 10


@pytest.mark.one_database
@pytest.mark.settings(mails_per_hour=10**6, mails_per_day=10**6, open_challenges=100)
def test_owner_under_attack_can_sign_in_by_link(json_wire, ada, attack, clock, mail_to):
    for _ in range(60):
        attack(5)
        clock.shift(60)
        browser = json_wire.elsewhere()
        browser.post(SEND, identity=ada.email, chosen_method="email")
        browser.get(link_in(mail_to(ada.email), "/us-verify-link").removeprefix("http://localhost"))
        assert browser.signed_in_as() == ada.email


@pytest.mark.one_database
def test_owner_under_attack_can_recover_from_a_known_browser(json_wire, ada, attack, own_browser, mail_to, deliver):
    for number in range(6):
        assert json_wire.elsewhere(address=f"203.0.113.{number}").post("/recover", identity=ada.email).ok
    attack(30)
    deliver()
    assert own_browser.post("/recover", identity=ada.email).ok
    proved = own_browser.post("/recover/prove", identity=ada.email, passcode=code_in(mail_to(ada.email)))
    assert proved.json["state"] == "start"


def test_strangers_do_not_use_up_the_mail_limit_of_a_known_browser(ada, attack, own_browser, clock, deliver, smtp):
    for _ in range(5):
        for _ in range(8):
            attack(3)
        deliver()
        clock.shift(12 * 60)
        own_browser.post(SEND, identity=ada.email, chosen_method="email")
        deliver()
        own_browser.get(link_in(smtp.to(ada.email)[-1], "/us-verify-link").removeprefix("http://localhost"))
        assert own_browser.signed_in_as() == ada.email
        own_browser.post("/logout")


def test_known_browser_has_the_same_mail_limit_as_an_account(ada, own_browser, clock, deliver, smtp):
    for _ in range(8):
        assert own_browser.post(SEND, identity=ada.email, chosen_method="email").ok
        clock.shift(31)
    deliver()
    assert len(smtp.to(ada.email)) == 5


def test_code_requested_in_a_known_browser_is_accepted_while_the_account_is_locked(ada, attack, own_browser, mail_to):
    attack(30)
    own_browser.post(SEND, identity=ada.email, chosen_method="email")
    assert own_browser.post(SIGN_IN, identity=ada.email, passcode=code_in(mail_to(ada.email))).ok


def test_copied_known_browser_cookie_at_most_doubles_the_mail_limit(app, ada, own_browser, deliver, smtp):
    known = own_browser.cookies["latchkey_known"]
    for _ in range(15):
        browser = own_browser.elsewhere()
        browser.client.set_cookie("latchkey_known", known)
        assert browser.post(SEND, identity=ada.email, chosen_method="email").ok
    deliver()
    assert len(smtp.to(ada.email)) == 10


def test_strangers_do_not_use_up_the_sms_limit_of_a_known_browser(json_wire, people, clock, text_to, deliver, sms):
    bob = people.open(phone="+447400123456")
    own = json_wire.elsewhere()
    own.post(SEND, identity=bob.phone, chosen_method="sms")
    assert own.post(SIGN_IN, identity=bob.phone, passcode=code_in(text_to(bob.phone))).ok
    own.post("/logout")
    clock.shift(24 * HOUR + 1)
    for _ in range(9):
        json_wire.elsewhere().post(SEND, identity=bob.phone, chosen_method="sms")
        deliver()
        clock.shift(20 * 60)
    assert len(sms.to(bob.phone)) == 1 + 6
    for count in range(5):
        own.post(SEND, identity=bob.phone, chosen_method="sms")
        deliver()
        clock.shift(61)
        assert len(sms.to(bob.phone)) == 1 + 6 + min(count + 1, 3)


def test_sms_setup_limits_texts_per_account_without_revealing_taken_numbers(json_wire, people, deliver, sms):
    sign_in(json_wire, people.open(email="mal@example.com"))
    people.open(phone="+447400120000")
    for number in range(12):
        assert json_wire.post("/us-setup", chosen_method="sms", phone=f"+4474001200{number:02}").status == 200
    deliver()
    assert [text.to for text in sms.texts] == [f"+4474001200{number:02}" for number in range(1, 5)]
