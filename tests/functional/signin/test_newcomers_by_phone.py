"""Signing in with an unknown number: if the operator allows it, the texted code creates an account."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.enrollments.models import Enrollment
from app.sessions.models import AuthSession
from app.users import Identity, User
from tests.functional.signin.conftest import wrong
from tests.sinks import code_in
from tests.wire import Wire

SEND, SIGN_IN = "/us-signin/send-code", "/us-signin"
NEW, KNOWN = "+447400123456", "+447400123457"

pytestmark = pytest.mark.settings(registration_by_phone=True)


@pytest.fixture
def text(wire, text_to):
    """The text message to someone new, whose browser is ``wire``."""
    assert wire.post(SEND, identity="+44 7400 123456", chosen_method="sms", next="/sessions").ok
    return text_to(NEW)


def test_sign_up_sms_says_that_the_code_creates_an_account(text, rows):
    assert "creates your account" in text.text
    assert text.text.rstrip().splitlines()[-1].startswith("@localhost #")
    assert rows(User) == [], "nothing is stored before the answer"


def test_sms_code_creates_the_account_and_signs_in(wire, text, rows, deliver):
    assert wire.post(SIGN_IN, identity=NEW, passcode=code_in(text), next="/sessions").ok
    assert wire.signed_in_as() == NEW
    (user,) = rows(User)
    assert user.confirmed_at is not None
    assert [(row.kind, row.value, row.confirmed_at is None) for row in rows(Identity)] == [("phone", NEW, False)]
    assert [row.method for row in rows(Enrollment)] == ["sms"]
    assert [row.amr for row in rows(AuthSession)] == ["sms"]
    assert {"account.created", "address.confirmed", "sign_in.succeeded"} <= {event.name for event in rows(Event)}
    assert deliver() == [], "no word of a new browser"


def test_sign_up_sms_code_works_once_in_the_requesting_browser_for_its_number(wire, text, rows):
    code = code_in(text)
    assert wire.elsewhere().post(SIGN_IN, identity=NEW, passcode=code).status == 400
    assert wire.post(SIGN_IN, identity=KNOWN, passcode=code).status == 400
    assert wire.post(SIGN_IN, identity=NEW, passcode=wrong(code)).status == 400
    assert rows(User) == []
    assert wire.post(SIGN_IN, identity=NEW, passcode=code).ok
    wire.post("/logout")
    assert wire.post(SIGN_IN, identity=NEW, passcode=code).status == 400


def test_expired_sign_up_sms_code_creates_no_account(wire, text, rows, clock):
    clock.shift(601)
    assert wire.post(SIGN_IN, identity=NEW, passcode=code_in(text)).status == 400
    assert rows(User) == []


def test_sign_up_sms_code_is_rejected_if_the_number_was_taken_meanwhile(wire, text, people, rows):
    people.open(phone=NEW)
    assert wire.post(SIGN_IN, identity=NEW, passcode=code_in(text)).status == 400
    assert len(rows(User)) == 1
    assert rows(AuthSession) == []


@pytest.mark.one_database
def test_code_page_is_the_same_for_known_and_unknown_number(browser_wire, people):
    people.open(phone=KNOWN)
    seen = []
    for number in (KNOWN, NEW):
        answer = browser_wire.elsewhere().post(SEND, identity=number, chosen_method="sms")
        assert "create your account" in answer.text
        seen.append((answer.page.heading, [name for name, _ in answer.page.inputs], answer.page.links))
    assert seen[0] == seen[1]


def test_json_send_code_response_is_the_same_for_known_and_unknown_number(json_wire, people):
    people.open(phone=KNOWN)
    known, new = (json_wire.elsewhere().post(SEND, identity=each, chosen_method="sms") for each in (KNOWN, NEW))
    assert (known.status, set(known.json)) == (new.status, set(new.json))
    assert [known.json[name] for name in ("expires_in", "resend_after")] == [
        new.json[name] for name in ("expires_in", "resend_after")
    ]


@pytest.mark.parametrize(
    ("number", "different"),
    [
        ("+442079460958", {}),  # a landline
        ("+19002530000", {}),  # premium
        (NEW, {"sms_countries": "DE"}),
        (NEW, {"registration": "off"}),
        (NEW, {"registration": "invite"}),
        (NEW, {"registration": "domains", "registration_domains": ["example.com"]}),
        (NEW, {"registration_by_phone": False}),
    ],
)
def test_ineligible_number_is_sent_nothing_and_gets_no_sign_up_hint(wire, make_app, deliver, rows, number, different):
    browser = Wire(make_app(**({"registration_by_phone": True} | different)), wire.language)
    answer = browser.post(SEND, identity=number, chosen_method="sms")
    assert answer.ok
    assert "create your account" not in answer.text
    assert deliver() == []
    assert len(rows(Challenge)) == 1


def test_unknown_number_with_email_method_is_sent_nothing(wire, deliver):
    assert wire.post(SEND, identity=NEW, chosen_method="email").ok
    assert deliver() == []


@pytest.mark.parametrize("rule", [{"registration_by_phone": False}, {"registration": "invite"}])
def test_sign_up_sms_code_is_rejected_after_registration_rules_changed(make_app, wire, text, rows, rule):
    closed = Wire(make_app(**({"registration_by_phone": True} | rule)), wire.language)
    for name, value in wire.cookies.items():
        closed.client.set_cookie(name, value)
    assert closed.post(SIGN_IN, identity=NEW, passcode=code_in(text)).status == 400
    assert rows(User) == []


@pytest.mark.settings(sms_per_hour=2)
def test_sms_to_unknown_number_is_rate_limited(wire, deliver):
    for number in range(5):
        wire.elsewhere(address=f"192.0.2.{number}").post(SEND, identity=NEW, chosen_method="sms")
    assert len(deliver()) == 2


@pytest.mark.settings(second_factor="required")
def test_sign_up_by_phone_requires_second_factor_enrollment_when_required(wire, text, rows):
    answer = wire.post(SIGN_IN, identity=NEW, passcode=code_in(text))
    assert answer.ok
    assert "/tf-setup" in (answer.location or "/tf-setup")
    assert wire.signed_in_as() is None
    assert rows(AuthSession) == []
    assert len(rows(User)) == 1
