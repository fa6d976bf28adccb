"""Side effects of changing sign-in methods: an email to the owner, events, other sessions end."""

from __future__ import annotations

import pytest

from tests.functional.setup.conftest import PHONE, app_code, key_in, state_in
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in


def test_owner_is_notified_by_email_when_a_method_is_added(hers, mail_to, ada):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)))
    mail = mail_to(ada.email)
    assert mail.subject.startswith("Your Latchkey account was changed")
    assert "Sign-in method added: Authenticator app." in mail.text
    assert "Sign-in method added: Authenticator app." in mail.html
    assert key_in(begun) not in mail.text


def test_owner_is_notified_by_email_when_a_method_is_removed(people, wire, mail_to):
    bob = people.open(email="bob@example.com", phone=PHONE)
    sign_in(wire, bob).post("/us-setup", delete_method="sms")
    assert "Sign-in method removed: Text-message code." in mail_to(bob.email).text


@pytest.mark.one_database
def test_rejected_changes_send_no_email(hers, deliver):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    hers.post(f"/us-setup/{state_in(begun)}", passcode="000")
    hers.post("/us-setup", delete_method="email")
    assert deliver() == []


@pytest.mark.one_database
def test_removing_a_method_that_is_not_set_up_changes_nothing(hers, deliver, rows):
    from app.audit import Event

    assert hers.post("/us-setup", delete_method="authenticator").ok
    assert (deliver(), rows(Event, name="factor.removed")) == ([], [])


def test_changes_are_recorded_with_user_and_request(hers, rows, ada):
    from app.audit import Event

    begun = hers.post("/us-setup", chosen_method="authenticator")
    hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)))
    hers.post("/us-setup", delete_method="authenticator")
    for name in ("factor.added", "factor.removed"):
        (event,) = rows(Event, name=name)
        assert (event.user_id, event.facts["method"], event.address) == (ada.id, "authenticator", "127.0.0.1")
        assert event.request_id
        assert event.support_id


def test_adding_a_method_ends_other_sessions_and_rotates_the_cookie(hers, ada, program):
    elsewhere = sign_in(hers.elsewhere(), ada)
    give_token(program, ada)
    before = hers.cookies["latchkey_session"]
    begun = hers.post("/us-setup", chosen_method="authenticator")
    hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)))
    assert (elsewhere.signed_in_as(), program.signed_in_as()) == (None, None)
    assert hers.signed_in_as() == ada.email
    assert hers.cookies["latchkey_session"] != before
    stolen = hers.elsewhere()
    stolen.client.set_cookie("latchkey_session", before)
    assert stolen.signed_in_as() is None


def test_removing_a_method_ends_other_sessions_and_rotates_the_cookie(people, wire):
    bob = people.open(email="bob@example.com", phone=PHONE)
    sign_in(wire, bob)
    elsewhere, before = sign_in(wire.elsewhere(), bob), wire.cookies["latchkey_session"]
    assert wire.post("/us-setup", delete_method="sms").ok
    assert elsewhere.signed_in_as() is None
    assert wire.signed_in_as() == bob.email
    assert wire.cookies["latchkey_session"] != before


@pytest.mark.one_database
def test_api_client_removing_a_method_keeps_its_token_and_ends_other_sessions(program, people, wire):
    bob = people.open(email="bob@example.com", phone=PHONE)
    elsewhere = sign_in(wire, bob)
    assert give_token(program, bob).post("/us-setup", delete_method="sms").ok
    assert program.signed_in_as() == bob.email
    assert elsewhere.signed_in_as() is None


@pytest.mark.one_database
def test_signal_reports_changed_methods(app, hers):
    from app.audit import signals

    told = []

    def note(sender, user, methods, delete):
        told.append((sender is app, methods, delete))

    with signals.us_profile_changed.connected_to(note):
        begun = hers.post("/us-setup", chosen_method="authenticator")
        hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)))
        hers.post("/us-setup", delete_method="authenticator")
    assert told == [(True, ["authenticator"], False), (True, ["authenticator"], True)]


@pytest.mark.one_database
def test_signal_reports_a_sent_code_without_the_code(app, hers):
    from app.audit import signals

    told = []

    def note(sender, **facts):
        told.append((facts.pop("user").id, facts))

    with signals.us_security_token_sent.connected_to(note), signals.tf_security_token_sent.connected_to(note):
        hers.post("/us-setup", chosen_method="authenticator")
        hers.post("/us-setup", chosen_method="sms", phone=PHONE)
        hers.post("/tf-setup", setup="sms", phone=PHONE)
    assert [facts for _, facts in told] == [{"method": "sms", "send_magic_link": False}, {"method": "sms"}]


@pytest.mark.one_database
def test_setup_email_contains_a_code_but_no_sign_in_link(people, wire, mail_to):
    bob = people.open(email="bob@example.com", methods=["authenticator"])
    sign_in(wire, bob).post("/us-setup", chosen_method="email")
    mail = mail_to(bob.email)
    assert code_in(mail)
    assert "token=" not in mail.text + mail.html
