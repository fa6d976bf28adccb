"""What a reported session set up is removed, so that an intruder can't come back."""

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
    """Someone who reads Ada's mail."""
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


@pytest.mark.both_databases
def test_report_removes_the_totp_app_enrolled_in_the_session(intruder, came_in, ada, rows, clock):
    key = set_up_app(intruder)
    answer = intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True)
    assert answer.json["state"] == "denied"
    assert ways(rows) == ["email"]
    clock.shift(700)
    back = intruder.elsewhere(address="203.0.113.4")
    assert back.post(SIGN_IN, identity=ada.email, passcode=pyotp.TOTP(key).at(int(clock.unix()))).status == 400


def test_report_notifies_owner_of_removed_factors_by_email_and_page(
    browser_wire, intruder, came_in, ada, mail_to, rows
):
    set_up_app(intruder)
    page = browser_wire.elsewhere(address="192.0.2.9").post(came_in, sure="y")
    assert "We removed the sign-in methods that were recently added from there" in page.text
    assert f"{SETUP}" in page.page.links
    assert "Authenticator app removed, because" in mail_to(ada.email).text.replace("\n", " ")
    assert [event.facts["method"] for event in rows(Event, name="factor.removed")] == ["authenticator"]


@pytest.mark.both_databases
def test_report_removes_the_phone_number_enrolled_in_the_session(intruder, came_in, text_to, rows):
    state = intruder.post(SETUP, chosen_method="sms", phone="+447400123456").json["state"]
    assert intruder.post(f"{SETUP}/{state}", passcode=code_in(text_to("+447400123456"))).ok
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).ok
    assert ways(rows) == ["email"]
    assert [row.kind for row in rows(Identity)] == ["email"]


@pytest.mark.both_databases
def test_report_removes_recovery_codes_generated_in_the_session(intruder, came_in, ada, mail_to, rows):
    assert intruder.post("/mf-recovery-codes").ok
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).json["state"] == "denied"
    assert rows(RecoveryCode) == []
    assert "Recovery codes removed, because" in mail_to(ada.email).text.replace("\n", " ")


@pytest.mark.both_databases
def test_report_keeps_recovery_codes_of_the_owner(json_wire, intruder, came_in, ada, rows):
    sign_in(json_wire, ada).post("/mf-recovery-codes")
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).ok
    assert len(rows(RecoveryCode)) == 10


def test_report_keeps_the_email_method_enrolled_again_in_the_session(intruder, came_in, ada, mail_to, rows):
    state = intruder.post(SETUP, chosen_method="email").json["state"]
    assert intruder.post(f"{SETUP}/{state}", passcode=code_in(mail_to(ada.email))).ok
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).ok
    assert ways(rows) == ["email"]


@pytest.mark.both_databases
def test_report_keeps_factors_enrolled_by_the_owner(json_wire, intruder, ada, sign_in, mail_to, rows):
    owner = json_wire.elsewhere(address="192.0.2.9")
    sign_in(ada.email, by=owner)
    set_up_app(owner)
    intruder.post(SEND, identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    assert intruder.post(SIGN_IN, identity=ada.email, passcode=code_in(mail)).ok
    assert owner.post(denial_in(mail), sure=True).ok
    assert ways(rows) == ["authenticator", "email"]
    assert owner.signed_in_as() == ada.email


@pytest.mark.both_databases
def test_report_removes_factors_enrolled_in_a_session_opened_with_a_removed_factor(
    intruder, came_in, ada, text_to, clock, rows
):
    key = set_up_app(intruder)
    clock.shift(60)
    second = intruder.elsewhere(address="203.0.113.5")
    assert second.post(SIGN_IN, identity=ada.email, passcode=pyotp.TOTP(key).at(int(clock.unix()))).ok
    state = second.post(SETUP, chosen_method="sms", phone="+447400123456").json["state"]
    assert second.post(f"{SETUP}/{state}", passcode=code_in(text_to("+447400123456"))).ok
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).ok
    assert ways(rows) == ["email"]
    assert second.signed_in_as() is None


@pytest.mark.both_databases
def test_report_keeps_the_last_sign_in_method(intruder, came_in, rows):
    set_up_app(intruder)
    assert intruder.post(SETUP, delete_method=["email"]).ok
    assert intruder.elsewhere(address="192.0.2.9").post(came_in, sure=True).ok
    assert ways(rows) == ["authenticator"]


@pytest.mark.both_databases
def test_enrollment_completed_concurrently_with_the_report_is_rejected(intruder, came_in, ada, rows, monkeypatch):
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
