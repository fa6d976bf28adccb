"""A change is announced to every address of the account, and can be reported from there."""

from __future__ import annotations

import pytest

from app.enrollments.models import Enrollment
from app.outbox import Message
from tests.functional.setup.conftest import PHONE, app_code, key_in, state_in
from tests.signed_in import sign_in
from tests.sinks import code_in, denial_in

OTHER = "+16502530001"
WORK = "ada@work.example"


@pytest.fixture
def also_at_work(people, ada) -> None:
    """Ada has a second verified address."""
    people.give(ada, "email", WORK)


def set_up_app(browser) -> None:
    """Set up an authenticator."""
    begun = browser.post("/us-setup", chosen_method="authenticator")
    assert browser.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok


@pytest.mark.usefixtures("also_at_work")
def test_every_confirmed_email_address_is_notified(hers, ada, deliver):
    set_up_app(hers)
    told = [mail for mail in deliver() if mail.subject.startswith("Your Latchkey account was changed")]
    assert sorted(mail.to for mail in told) == [[ada.email], [WORK]]


def test_unconfirmed_email_address_is_not_notified(people, hers, ada, deliver):
    people.give(ada, "email", WORK, confirmed=False)
    set_up_app(hers)
    assert [mail.to for mail in deliver()] == [[ada.email]]


@pytest.mark.usefixtures("also_at_work")
def test_denial_link_in_any_notice_undoes_the_change_and_ends_the_session(hers, mail_to, rows):
    set_up_app(hers)
    assert hers.elsewhere(address="192.0.2.9").post(denial_in(mail_to(WORK)), sure=True).ok
    assert [row.method for row in rows(Enrollment)] == ["email"]
    assert hers.signed_in_as() is None


def test_account_without_email_is_notified_by_sms(people, wire, text_to):
    bob = people.open(phone=PHONE)
    set_up_app(sign_in(wire, bob))
    assert "Sign-in method added: Authenticator app." in text_to(PHONE).text


@pytest.mark.usefixtures("ada")
def test_sms_notices_are_rate_limited_per_number(people, wire, deliver, rows):
    bob = people.open(phone=PHONE)
    sign_in(wire, bob)
    for _ in range(2):
        set_up_app(wire)
        wire.post("/us-setup", delete_method="authenticator")
        deliver()
    assert sorted(row.state for row in rows(Message, kind="changed")) == ["dropped", "sent", "sent", "sent"]


@pytest.mark.usefixtures("also_at_work")
def test_notice_emails_are_queued_in_one_insert(hers, statements):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    with statements() as seen:
        hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)))
    assert len([text for text in seen if text.startswith("INSERT INTO message")]) == 1


def test_removed_phone_number_is_notified(people, wire, text_to, mail_to):
    bob = people.open(email="bob@example.com", phone=PHONE)
    assert sign_in(wire, bob).post("/us-setup", delete_method="sms").ok
    assert "Sign-in method removed: Text-message code." in text_to(PHONE).text
    assert "Sign-in method removed: Text-message code." in mail_to(bob.email).text


def test_replaced_phone_number_is_notified(people, wire, text_to, deliver, sms):
    bob = people.open(email="bob@example.com", phone=PHONE)
    begun = sign_in(wire, bob).post("/us-setup", chosen_method="sms", phone=OTHER)
    assert wire.post(f"/us-setup/{state_in(begun)}", passcode=code_in(text_to(OTHER))).ok
    assert "Sign-in method added: Text-message code." in text_to(PHONE).text
    deliver()
    assert len(sms.to(OTHER)) == 1
