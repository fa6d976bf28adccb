"""Changing the primary email: the new one is verified first, and the old one is notified."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.outbox import Message
from app.users import Identity
from tests.functional.identities.conftest import ADD, CHANGE, CONFIRM, NEW, THIRD
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in

explicit = pytest.mark.settings(generic_responses=False)


def test_page_shows_the_current_email(hers, ada):
    answer = hers.get(CHANGE)
    assert answer.status == 200
    assert answer.json.get("current_email", ada.email) == ada.email
    assert ada.email in answer.text


def test_requesting_a_change_changes_nothing_yet(hers, ada, emails, deliver):
    answer = hers.post(CHANGE, email=NEW)
    assert answer.ok
    assert answer.json.get("current_email", ada.email) == ada.email
    assert emails(ada) == [ada.email]
    assert [mail.to for mail in deliver()] == [[NEW]]


def test_code_changes_the_email(hers, ada, emails, prove):
    assert prove(hers, NEW).ok
    assert emails(ada) == [NEW]
    assert hers.signed_in_as() == NEW


def test_new_email_signs_in_and_the_old_one_does_not(hers, ada, prove, mail_to, deliver, clock, finds_nobody):
    prove(hers, NEW)
    deliver()
    clock.shift(60)
    there = hers.elsewhere()
    there.post("/us-signin/send-code", identity=NEW, chosen_method="email")
    assert there.post("/us-signin", identity=NEW, passcode=code_in(mail_to(NEW))).ok
    deliver()
    finds_nobody(ada.email)


def test_both_emails_are_notified_and_only_the_old_one_can_undo(hers, ada, prove, mail_to):
    prove(hers, NEW)
    old, new = mail_to(ada.email), mail_to(NEW)
    assert "was replaced by a...@new.example" in old.text.replace("\n", " ")
    assert "/change-email/undo/" in old.text
    assert "/change-email/undo/" not in new.text + new.html
    assert NEW not in old.text + old.html


def test_each_mailbox_sees_only_its_own_email_unmasked(hers, ada, prove, mail_to):
    """Each mailbox sees itself whole, and the other one never."""
    alike = "anna@example.com"
    prove(hers, alike)
    old, new = (" ".join(mail.text.split()) for mail in (mail_to(ada.email), mail_to(alike)))
    assert f"Your email {ada.email} was replaced by a...@example.com." in old
    assert f"Your email a...@example.com was replaced by {alike}." in new
    assert (alike in old, ada.email in new) == (False, False)


def test_notice_to_third_mailbox_says_that_identically_masked_emails_differ(hers, ada, prove, mail_to):
    prove(hers, THIRD, ADD)
    prove(hers, "anna@example.com")
    told = " ".join(mail_to(THIRD).text.split())
    assert "a...@example.com was replaced by another email, which also shortens to a...@example.com." in told


def test_change_ends_other_sessions_and_rotates_the_session_token(hers, ada, prove, program):
    elsewhere, before = sign_in(hers.elsewhere(), ada), hers.cookies["latchkey_session"]
    give_token(program, ada)
    prove(hers, NEW)
    assert (elsewhere.signed_in_as(), program.signed_in_as()) == (None, None)
    assert hers.cookies["latchkey_session"] != before


def test_code_for_one_email_does_not_confirm_another(hers, ada, emails, mail_to):
    hers.post(CHANGE, email=NEW)
    code = code_in(mail_to(NEW))
    hers.post(CHANGE, email=THIRD)
    assert hers.post(CONFIRM, passcode=code).codes == ["invalid_password_code"]
    assert emails(ada) == [ada.email]


def test_new_request_ends_the_pending_one(hers, json_wire, ada, emails, mail_to):
    first = sign_in(json_wire, ada).post(CHANGE, email=NEW).json["challenge"]
    code = code_in(mail_to(NEW))
    json_wire.post(CHANGE, email=THIRD)
    assert json_wire.post(CONFIRM, passcode=code, challenge=first).codes == ["api_error"]
    assert emails(ada) == [ada.email]


def test_api_client_confirms_with_its_challenge(program, ada, emails, mail_to):
    challenge = give_token(program, ada).post(CHANGE, email=NEW).json["challenge"]
    answer = program.post(CONFIRM, passcode=code_in(mail_to(NEW)), challenge=challenge)
    assert answer.json["current_email"] == NEW
    assert emails(ada) == [NEW]


def test_resent_code_is_the_same(hers, mail_to, deliver, clock):
    hers.post(CHANGE, email=NEW)
    first = code_in(mail_to(NEW))
    clock.shift(40)
    hers.post(CHANGE, email=NEW)
    (again,) = deliver()
    assert code_in(again) == first


def test_correct_code_is_rejected_after_five_wrong_attempts(hers, ada, emails, mail_to):
    hers.post(CHANGE, email=NEW)
    code = code_in(mail_to(NEW))
    for _ in range(5):
        assert hers.post(CONFIRM, passcode="00000000").codes == ["invalid_password_code"]
    assert hers.post(CONFIRM, passcode=code).codes == ["invalid_password_code"]
    assert emails(ada) == [ada.email]


def test_code_works_once(hers, ada, emails, mail_to):
    hers.post(CHANGE, email=NEW)
    code = code_in(mail_to(NEW))
    assert hers.post(CONFIRM, passcode=code).ok
    assert hers.post(CONFIRM, passcode=code).status == 400
    assert emails(ada) == [NEW]


def test_expired_code_is_rejected(hers, ada, emails, mail_to, clock):
    hers.post(CHANGE, email=NEW)
    code = code_in(mail_to(NEW))
    clock.shift(601)
    assert hers.post(CONFIRM, passcode=code).status == 400
    assert emails(ada) == [ada.email]


def test_challenge_of_another_user_is_rejected(people, json_wire, ada, emails, mail_to):
    challenge = sign_in(json_wire, ada).post(CHANGE, email=NEW).json["challenge"]
    bob = people.open(email="bob@example.com")
    his = sign_in(json_wire.elsewhere(), bob)
    assert his.post(CONFIRM, passcode=code_in(mail_to(NEW)), challenge=challenge).codes == ["api_error"]
    assert (emails(ada), emails(bob)) == ([ada.email], [bob.email])


@pytest.mark.parametrize("path", [CHANGE, ADD, "/identities/primary", "/identities/remove", "/identities/username"])
def test_identity_changes_require_reauthentication(hers, path, clock, rows):
    clock.shift(4000)
    answer = hers.post(path, email=NEW, username="ada")
    assert answer.status in (302, 401)
    assert rows(Challenge) == []
    assert [row.value for row in rows(Identity)] == ["ada@example.com"]


@pytest.mark.one_database
@pytest.mark.parametrize("path", [CHANGE, ADD, CONFIRM, "/identities/remove"])
def test_identity_changes_require_a_csrf_token(hers, path, rows):
    assert hers.post(path, csrf=None, email=NEW, passcode="1").status == 400
    assert rows(Challenge) == []


@pytest.mark.one_database
@pytest.mark.parametrize(
    "typed", ["", "nothing", "a@x@y.example", "a@x.example,b@y.example", "m\u0131ke@example.com", "a b@example.com"]
)
def test_invalid_email_is_rejected(hers, typed, rows):
    answer = hers.post(CHANGE, email=typed)
    assert answer.status == 400
    assert answer.codes[0] in ("invalid_email_address", "email_not_provided")
    assert rows(Message) == []


@pytest.mark.parametrize("typed", ["ADA@example.com", "ada\uff20example.com", " ada@EXAMPLE.com "])
def test_own_email_is_rejected_in_any_spelling(hers, typed):
    assert hers.post(CHANGE, email=typed).codes == ["email_already_associated"]


def test_taken_email_is_indistinguishable_from_a_free_one_and_owner_is_notified(hers, people, mail_to, statements):
    bob = people.open(email="bob@example.com")
    hers.get(CHANGE)
    with statements() as free:
        mine = hers.post(ADD, email=NEW)
    hers.fetch_csrf()
    with statements() as taken:
        answer = hers.post(ADD, email=bob.email)
    assert (answer.status, sorted(answer.json)) == (mine.status, sorted(mine.json))
    assert len(free) == len(taken)
    mail = mail_to(bob.email)
    assert "tried to add this email" in mail.text.replace("\n", " ")
    assert "confirm" not in mail.text


@explicit
def test_taken_email_is_reported_in_explicit_mode(hers, people, rows):
    bob = people.open(email="bob@example.com")
    assert hers.post(CHANGE, email=bob.email).codes == ["email_already_associated"]
    assert rows(Challenge) == []


def test_code_sent_to_the_old_email_is_invalid_after_the_change(hers, ada, prove, mail_to):
    there = hers.elsewhere()
    there.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    code = code_in(mail_to(ada.email))
    prove(hers, NEW)
    assert there.post("/us-signin", identity=ada.email, passcode=code).status == 400
    assert there.post("/us-signin", identity=NEW, passcode=code).status == 400


def test_ended_session_cannot_confirm_its_email_change(hers, ada, emails, mail_to):
    hers.post(CHANGE, email=NEW)
    code = code_in(mail_to(NEW))
    sign_in(hers.elsewhere(), ada).post("/sessions/end-others")
    assert not hers.post(CONFIRM, passcode=code).json.get("user")
    assert emails(ada) == [ada.email]


def test_audit_events_do_not_contain_the_emails(hers, ada, prove, rows):
    prove(hers, NEW)
    for name in ("address.change_requested", "address.change_confirmed"):
        (event,) = rows(Event, name=name)
        assert event.user_id == ada.id
        assert "@" not in str(event.facts)


@pytest.mark.one_database
def test_email_change_is_listed_in_activity(hers, prove):
    prove(hers, NEW)
    text = hers.get("/activity").text
    assert "Email change requested" in text
    assert "Email changed" in text


@pytest.mark.one_database
def test_signals_report_the_change_without_a_token(hers, ada, prove):
    from app.audit import signals

    told = []

    def note_sent(_app, user, token, new_email):
        told.append((user.id, token, new_email))

    def note_done(_app, user, old_email):
        told.append((user.id, old_email))

    asked, done = signals.change_email_instructions_sent, signals.change_email_confirmed
    with asked.connected_to(note_sent), done.connected_to(note_done):
        prove(hers, NEW)
    assert told == [(ada.id, None, NEW), (ada.id, ada.email)]
