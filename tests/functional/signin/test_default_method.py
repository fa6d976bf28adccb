"""The entered identity decides how a code is sent, unless a method is chosen."""

from __future__ import annotations

import pytest

SEND = "/us-signin/send-code"
PHONE = "+16502530000"

pytestmark = pytest.mark.one_database


@pytest.fixture
def ada(people):
    """Someone with an email, a phone and a username."""
    return people.open(email="ada@example.com", phone=PHONE, username="ada", methods=["email", "sms"])


@pytest.mark.parametrize(
    ("typed", "goes_to"), [(PHONE, PHONE), ("ada@example.com", "ada@example.com"), ("ada", "ada@example.com")]
)
def test_identity_type_selects_the_default_code_method(browser_wire, ada, deliver, rows, typed, goes_to):
    answer = browser_wire.post(SEND, identity=typed)
    assert answer.ok
    deliver()
    from app.outbox import Message

    assert [row.to for row in rows(Message)] == [goes_to]
    assert ("Check your phone" if goes_to == PHONE else "Check your email") in answer.text


@pytest.mark.parametrize("typed", [PHONE, "+16502530001"])
def test_default_method_is_sms_for_known_and_unknown_phone_numbers(browser_wire, ada, typed):
    assert browser_wire.post(SEND, identity=typed).page.value("chosen_method") == "sms"


def test_explicit_chosen_method_overrides_the_default(browser_wire, ada, mail_to):
    assert browser_wire.post(SEND, identity=PHONE, chosen_method="email").ok
    assert mail_to(ada.email)


@pytest.mark.settings(methods=["email"])
def test_phone_number_defaults_to_email_when_sms_is_disabled(browser_wire, ada, mail_to):
    assert browser_wire.post(SEND, identity=PHONE).ok
    assert mail_to(ada.email)


def test_json_send_code_does_not_infer_sms_from_a_phone_number(json_wire, ada, deliver):
    answer = json_wire.post(SEND, identity=PHONE)
    assert (answer.status, answer.codes) == (400, ["us_method_not_available"])
    assert deliver() == []
