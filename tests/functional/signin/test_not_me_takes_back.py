"""What a denied session has set up goes with it: whoever came in finds no way back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyotp
import pytest

from app.audit import Event
from app.authenticators.models import RecoveryCode
from app.enrollments.models import Enrollment
from app.login.credential_changes import lock_credentials
from app.users import Identity
from tests.signed_in import sign_in
from tests.sinks import code_in, denial_in

SEND, SIGN_IN, SETUP = "/us-signin/send-code", "/us-signin", "/us-setup"


@pytest.fixture
def intruder(json_wire):
    """Somebody who reads Ada's mail."""
    return json_wire.elsewhere(agent="Mozilla/5.0 (X11; Linux) Firefox/150", address="203.0.113.3")


@pytest.fixture
def came_in(intruder, ada, mail_to) -> str:
    """The path that denies the code by which the intruder has come in."""
    intruder.post(SEND, identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    assert intruder.post(SIGN_IN, identity=ada.email, passcode=code_in(mail)).ok
    return denial_in(mail)


def set_up_app(browser) -> str:
    """Set up an authenticator, and return its key."""
    from app import clock

    begun = browser.post(SETUP, chosen_method="authenticator").json
    key = str(begun["authr_b32key"])
    assert browser.post(f"{SETUP}/{begun['state']}", passcode=pyotp.TOTP(key).at(int(clock.unix()))).ok
    return key


def ways(rows) -> list[str]:
    """Return what is set up."""
    return sorted(row.method for row in rows(Enrollment))


def test_an_authenticator_goes_with_the_session_that_set_it_up(intruder, came_in, ada, rows, clock):
    key = set_up_app(intruder)
    answer = intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True)
    assert answer.json["state"] == "denied"
    assert ways(rows) == ["email"]
    clock.shift(700)
    back = intruder.elsewhere(address="203.0.113.4")
    assert back.post(SIGN_IN, identity=ada.email, passcode=pyotp.TOTP(key).at(int(clock.unix()))).status == 400


def test_its_owner_is_told_by_mail_and_by_the_page(browser_wire, intruder, came_in, ada, mail_to, rows):
    set_up_app(intruder)
    page = browser_wire.elsewhere(address="192.0.2.9").post(came_in, sure="y")
    assert "We removed the sign-in methods that were recently added from there" in page.text
    assert f"{SETUP}" in page.page.links
    assert "Authenticator app removed, because" in mail_to(ada.email).text.replace("\n", " ")
    assert [event.facts["method"] for event in rows(Event, name="factor.removed")] == ["authenticator"]


def test_a_number_goes_as_an_identity_as_well(intruder, came_in, text_to, rows):
    state = intruder.post(SETUP, chosen_method="sms", phone="+447400123456").json["state"]
    assert intruder.post(f"{SETUP}/{state}", passcode=code_in(text_to("+447400123456"))).ok
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).ok
    assert ways(rows) == ["email"]
    assert [row.kind for row in rows(Identity)] == ["email"]


def test_recovery_codes_go_with_the_session_that_made_them(intruder, came_in, ada, mail_to, rows):
    assert intruder.post("/mf-recovery-codes").ok
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).json["state"] == "denied"
    assert rows(RecoveryCode) == []
    assert "Recovery codes removed, because" in mail_to(ada.email).text.replace("\n", " ")


def test_recovery_codes_of_ones_own_stay(json_wire, intruder, came_in, ada, rows):
    sign_in(json_wire, ada).post("/mf-recovery-codes")
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).ok
    assert len(rows(RecoveryCode)) == 10


def test_mail_stays_when_it_was_set_up_anew(intruder, came_in, ada, mail_to, rows):
    state = intruder.post(SETUP, chosen_method="email").json["state"]
    assert intruder.post(f"{SETUP}/{state}", passcode=code_in(mail_to(ada.email))).ok
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).ok
    assert ways(rows) == ["email"]


def test_what_the_owner_has_set_up_stays(json_wire, intruder, ada, sign_in, mail_to, rows):
    owner = json_wire.elsewhere(address="192.0.2.9")
    sign_in(ada.email, by=owner)
    set_up_app(owner)
    intruder.post(SEND, identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    assert intruder.post(SIGN_IN, identity=ada.email, passcode=code_in(mail)).ok
    assert owner.post(denial_in(mail), sure=True).ok
    assert ways(rows) == ["authenticator", "email"]
    assert owner.signed_in_as() == ada.email


def test_what_was_set_up_from_a_second_session_goes_too(intruder, came_in, ada, text_to, clock, rows):
    key = set_up_app(intruder)
    clock.shift(60)
    second = intruder.elsewhere(address="203.0.113.5")
    assert second.post(SIGN_IN, identity=ada.email, passcode=pyotp.TOTP(key).at(int(clock.unix()))).ok
    state = second.post(SETUP, chosen_method="sms", phone="+447400123456").json["state"]
    assert second.post(f"{SETUP}/{state}", passcode=code_in(text_to("+447400123456"))).ok
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).ok
    assert ways(rows) == ["email"]
    assert second.signed_in_as() is None


def test_the_last_way_in_stays(intruder, came_in, rows):
    set_up_app(intruder)
    assert intruder.post(SETUP, delete_method=["email"]).ok
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).ok
    assert ways(rows) == ["authenticator"]


def test_what_is_proved_at_that_very_moment_is_not_stored(intruder, came_in, ada, rows, monkeypatch):
    from app.setup import service as enrollment

    begun, take_turns = intruder.post(SETUP, chosen_method="authenticator").json, lock_credentials

    def denied_first(*given):
        denier = ThreadPoolExecutor(1)
        assert denier.submit(intruder.elsewhere(address="192.0.2.9").post, came_in, sure=True).result().ok
        take_turns(*given)

    monkeypatch.setattr(enrollment, "lock_credentials", denied_first)
    key = str(begun["authr_b32key"])
    assert intruder.post(f"{SETUP}/{begun['state']}", passcode=pyotp.TOTP(key).now()).codes == ["api_error"]
    assert ways(rows) == ["email"]
