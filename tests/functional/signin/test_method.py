"""Signing in with a text message, an authenticator app or a password, by any identity."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.enrollments.models import Enrollment
from app.extensions import db
from tests.functional.signin.conftest import wrong
from tests.sinks import code_in

PHONE = "+16502530000"
PASSWORD = "correct horse battery staple"
with_password = pytest.mark.settings(methods=["password", "email", "sms", "authenticator"])


def test_sms_code_signs_in(wire, people, text_to):
    eve = people.open(email="eve@example.com", phone=PHONE)
    assert wire.post("/us-signin/send-code", identity=eve.email, chosen_method="sms").ok
    code = code_in(text_to(PHONE))
    assert len(code) == 6
    assert wire.post("/us-signin", identity=eve.email, passcode=code).ok
    assert wire.signed_in_as() == eve.email


@pytest.mark.parametrize("typed", [PHONE, "(650) 253-0000", "650 253 0000", "６５０２５３００００"])
def test_phone_number_identity_is_normalized(wire, people, text_to, typed):
    people.open(phone=PHONE)
    wire.post("/us-signin/send-code", identity=typed, chosen_method="sms")
    assert wire.post("/us-signin", identity=PHONE, passcode=code_in(text_to(PHONE))).ok
    assert wire.signed_in_as() == PHONE


@pytest.mark.parametrize(("age", "works"), [(298, True), (301, False)])
def test_sms_code_expires_after_five_minutes(wire, people, text_to, clock, age, works):
    people.open(phone=PHONE)
    wire.post("/us-signin/send-code", identity=PHONE, chosen_method="sms")
    code = code_in(text_to(PHONE))
    clock.shift(age)
    assert wire.post("/us-signin", identity=PHONE, passcode=code).ok is works


def test_sms_resend_after_a_minute_repeats_the_same_code(wire, people, text_to, clock, sms):
    people.open(phone=PHONE)
    codes = set()
    for wait in (0, 45, 20):
        clock.shift(wait)
        wire.post("/us-signin/send-code", identity=PHONE, chosen_method="sms")
        codes.add(code_in(text_to(PHONE)))
    assert len(sms.texts) == 2
    assert len(codes) == 1


def test_sms_codes_are_limited_to_three_per_hour_and_phone_number(wire, people, deliver, sms):
    people.open(phone=PHONE)
    for _ in range(5):
        assert wire.elsewhere().post("/us-signin/send-code", identity=PHONE, chosen_method="sms").ok
    deliver()
    assert len(sms.texts) == 3


def test_username_identity_is_case_insensitive(wire, people, mail_to):
    people.open(email="eve@example.com", username="eve.online")
    wire.post("/us-signin/send-code", identity="Eve.Online", chosen_method="email")
    assert wire.post("/us-signin", identity="EVE.online", passcode=code_in(mail_to("eve@example.com"))).ok


def test_code_requested_by_username_signs_in_by_email(wire, people, mail_to):
    people.open(email="eve@example.com", username="eve.online")
    wire.post("/us-signin/send-code", identity="eve.online", chosen_method="email")
    assert wire.post("/us-signin", identity="eve@example.com", passcode=code_in(mail_to("eve@example.com"))).ok


def test_totp_code_cannot_be_reused(wire, people):
    eve = people.open(email="eve@example.com", methods=["authenticator"])
    code = eve.app_code()
    assert wire.post("/us-signin", identity=eve.email, passcode=code).ok
    assert wire.elsewhere().post("/us-signin", identity=eve.email, passcode=code).status == 400
    assert wire.elsewhere().post("/us-signin", identity=eve.email, passcode=eve.app_code(-1)).status == 400


@pytest.mark.parametrize(("steps", "works"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_totp_accepts_one_time_step_of_clock_drift(wire, people, steps, works):
    eve = people.open(email="eve@example.com", methods=["authenticator"])
    assert wire.post("/us-signin", identity=eve.email, passcode=eve.app_code(steps)).ok is works


def test_totp_code_with_leading_zeros_may_be_sent_as_a_json_number(json_wire, people, clock):
    eve = people.open(email="eve@example.com", methods=["authenticator"])
    while not eve.app_code().startswith("0"):
        clock.shift(30)
    assert json_wire.post("/us-signin", identity=eve.email, passcode=int(eve.app_code())).ok


def test_totp_secret_copied_to_another_account_is_rejected(app, wire, people, rows):
    eve = people.open(email="eve@example.com", methods=["authenticator"])
    ada = people.open(email="ada@example.com", methods=["authenticator"])
    with app.app_context():
        stolen = db.session.query(Enrollment).filter_by(user_id=eve.id).one().secret
        db.session.query(Enrollment).filter_by(user_id=ada.id).one().secret = stolen
        db.session.commit()
    assert wire.post("/us-signin", identity=ada.email, passcode=eve.app_code()).status == 400
    assert len(rows(Event, name="crypto.mismatch")) == 1


@pytest.mark.settings(methods=["email"])
def test_disabled_method_cannot_sign_in(wire, people):
    eve = people.open(email="eve@example.com", methods=["authenticator", "password"], password=PASSWORD)
    for passcode in (eve.app_code(), eve.password):
        assert wire.post("/us-signin", identity=eve.email, passcode=passcode).status == 400


@with_password
def test_password_signs_in_repeatedly_and_must_match_exactly(wire, people):
    eve = people.open(email="eve@example.com", password=PASSWORD)
    for browser in (wire, wire.elsewhere()):
        assert browser.post("/us-signin", identity=eve.email, passcode=PASSWORD).ok
    for typed in (PASSWORD.upper(), PASSWORD[:-1], f" {PASSWORD}", PASSWORD.replace(" ", "")):
        assert not wire.elsewhere().post("/us-signin", identity=eve.email, passcode=typed).ok


@with_password
def test_any_enrolled_method_signs_in(wire, people, mail_to):
    eve = people.open(email="eve@example.com", password=PASSWORD, methods=["email", "password", "authenticator"])
    wire.post("/us-signin/send-code", identity=eve.email, chosen_method="email")
    code = code_in(mail_to(eve.email))
    assert wire.elsewhere().post("/us-signin", identity=eve.email, passcode=PASSWORD).ok
    assert wire.elsewhere().post("/us-signin", identity=eve.email, passcode=eve.app_code()).ok
    assert wire.post("/us-signin", identity=eve.email, passcode=code).ok


def test_wrong_sms_codes_do_not_exhaust_the_emailed_code(wire, people, mail_to, text_to):
    eve = people.open(email="eve@example.com", phone=PHONE)
    for method in ("email", "sms"):
        wire.post("/us-signin/send-code", identity=eve.email, chosen_method=method)
    mailed, texted = code_in(mail_to(eve.email)), code_in(text_to(PHONE))
    for _ in range(5):
        wire.post("/us-signin", identity=eve.email, passcode=wrong(texted))
    assert not wire.post("/us-signin", identity=eve.email, passcode=texted).ok
    assert wire.post("/us-signin", identity=eve.email, passcode=mailed).ok


@pytest.mark.parametrize("moved", ["to another person", "to another method"])
def test_enrollment_moved_to_another_user_or_method_is_rejected(wire, people, database, rows, moved):
    """It is encrypted for its user and method, so write access to the database gives no access to others' factors."""
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"])
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"])
    whose = eve if moved == "to another person" else ada
    if moved == "to another person":
        database.query(f"DELETE FROM enrolled_method WHERE user_id = {eve.id} AND method != 'email' RETURNING id")
        database.query(f"UPDATE enrolled_method SET user_id = {eve.id} WHERE method = 'authenticator' RETURNING id")
    else:
        database.query(
            "UPDATE enrolled_method SET name = id,"
            " method = CASE method WHEN 'email' THEN 'authenticator' ELSE 'email' END"
            f" WHERE user_id = {ada.id} RETURNING id"
        )
    answer = wire.post("/us-signin", identity=whose.email, passcode=ada.app_code())
    assert answer.status == 400
    assert wire.signed_in_as() is None
    assert [event.facts["method"] for event in rows(Event, name="crypto.mismatch")] == ["authenticator"]
