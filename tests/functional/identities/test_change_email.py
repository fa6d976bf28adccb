"""Another address instead of the primary one: it is proved first, and the old one is told."""

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


def test_the_page_tells_the_address_as_it_stands(hers, ada):
    answer = hers.get(CHANGE)
    assert answer.status == 200
    assert answer.json.get("current_email", ada.email) == ada.email
    assert ada.email in answer.text


def test_asking_changes_nothing(hers, ada, emails, deliver):
    answer = hers.post(CHANGE, email=NEW)
    assert answer.ok
    assert answer.json.get("current_email", ada.email) == ada.email
    assert emails(ada) == [ada.email]
    assert [mail.to for mail in deliver()] == [[NEW]]


def test_the_code_changes_it(hers, ada, emails, prove):
    assert prove(hers, NEW).ok
    assert emails(ada) == [NEW]
    assert hers.signed_in_as() == NEW


def test_the_new_address_signs_in_and_the_old_one_does_not(hers, ada, prove, mail_to, deliver, clock, finds_nobody):
    prove(hers, NEW)
    deliver()
    clock.shift(60)
    there = hers.elsewhere()
    there.post("/us-signin/send-code", identity=NEW, chosen_method="email")
    assert there.post("/us-signin", identity=NEW, passcode=code_in(mail_to(NEW))).ok
    deliver()
    finds_nobody(ada.email)


def test_both_are_told_and_only_the_old_one_can_undo_it(hers, ada, prove, mail_to):
    prove(hers, NEW)
    old, new = mail_to(ada.email), mail_to(NEW)
    assert "was replaced by a...@new.example" in old.text.replace("\n", " ")
    assert "/change-email/undo/" in old.text
    assert "/change-email/undo/" not in new.text + new.html
    assert NEW not in old.text + old.html


def test_addresses_that_look_alike_when_shortened_are_told_apart(hers, ada, prove, mail_to):
    """Each mailbox sees itself whole, and the other one never."""
    alike = "anna@example.com"
    prove(hers, alike)
    old, new = (" ".join(mail.text.split()) for mail in (mail_to(ada.email), mail_to(alike)))
    assert f"Your email {ada.email} was replaced by a...@example.com." in old
    assert f"Your email a...@example.com was replaced by {alike}." in new
    assert (alike in old, ada.email in new) == (False, False)


def test_third_mailbox_is_told_that_the_new_address_is_another_one(hers, ada, prove, mail_to):
    prove(hers, THIRD, ADD)
    prove(hers, "anna@example.com")
    told = " ".join(mail_to(THIRD).text.split())
    assert "a...@example.com was replaced by another email, which also shortens to a...@example.com." in told


def test_all_other_sessions_end_and_this_one_gets_another_token(hers, ada, prove, program):
    elsewhere, before = sign_in(hers.elsewhere(), ada), hers.cookies["latchkey_session"]
    give_token(program, ada)
    prove(hers, NEW)
    assert (elsewhere.signed_in_as(), program.signed_in_as()) == (None, None)
    assert hers.cookies["latchkey_session"] != before


def test_a_proof_for_one_address_is_none_for_another(hers, ada, emails, mail_to):
    hers.post(CHANGE, email=NEW)
    code = code_in(mail_to(NEW))
    hers.post(CHANGE, email=THIRD)
    assert hers.post(CONFIRM, passcode=code).codes == ["invalid_password_code"]
    assert emails(ada) == [ada.email]


def test_asking_for_another_ends_the_one_that_waited(hers, json_wire, ada, emails, mail_to):
    first = sign_in(json_wire, ada).post(CHANGE, email=NEW).json["challenge"]
    code = code_in(mail_to(NEW))
    json_wire.post(CHANGE, email=THIRD)
    assert json_wire.post(CONFIRM, passcode=code, challenge=first).codes == ["api_error"]
    assert emails(ada) == [ada.email]


def test_a_program_names_its_request(program, ada, emails, mail_to):
    challenge = give_token(program, ada).post(CHANGE, email=NEW).json["challenge"]
    answer = program.post(CONFIRM, passcode=code_in(mail_to(NEW)), challenge=challenge)
    assert answer.json["current_email"] == NEW
    assert emails(ada) == [NEW]


def test_sent_again_it_is_the_same_code(hers, mail_to, deliver, clock):
    hers.post(CHANGE, email=NEW)
    first = code_in(mail_to(NEW))
    clock.shift(40)
    hers.post(CHANGE, email=NEW)
    (again,) = deliver()
    assert code_in(again) == first


def test_five_wrong_codes_and_the_right_one_is_wrong_too(hers, ada, emails, mail_to):
    hers.post(CHANGE, email=NEW)
    code = code_in(mail_to(NEW))
    for _ in range(5):
        assert hers.post(CONFIRM, passcode="00000000").codes == ["invalid_password_code"]
    assert hers.post(CONFIRM, passcode=code).codes == ["invalid_password_code"]
    assert emails(ada) == [ada.email]


def test_a_code_is_good_once(hers, ada, emails, mail_to):
    hers.post(CHANGE, email=NEW)
    code = code_in(mail_to(NEW))
    assert hers.post(CONFIRM, passcode=code).ok
    assert hers.post(CONFIRM, passcode=code).status == 400
    assert emails(ada) == [NEW]


def test_a_code_that_is_too_old_is_wrong(hers, ada, emails, mail_to, clock):
    hers.post(CHANGE, email=NEW)
    code = code_in(mail_to(NEW))
    clock.shift(601)
    assert hers.post(CONFIRM, passcode=code).status == 400
    assert emails(ada) == [ada.email]


def test_somebody_elses_request_is_none_of_mine(people, json_wire, ada, emails, mail_to):
    challenge = sign_in(json_wire, ada).post(CHANGE, email=NEW).json["challenge"]
    bob = people.open(email="bob@example.com")
    his = sign_in(json_wire.elsewhere(), bob)
    assert his.post(CONFIRM, passcode=code_in(mail_to(NEW)), challenge=challenge).codes == ["api_error"]
    assert (emails(ada), emails(bob)) == ([ada.email], [bob.email])


@pytest.mark.parametrize("path", [CHANGE, ADD, "/identities/primary", "/identities/remove", "/identities/username"])
def test_it_wants_a_fresh_session(hers, path, clock, rows):
    clock.shift(4000)
    answer = hers.post(path, email=NEW, username="ada")
    assert answer.status in (302, 401)
    assert rows(Challenge) == []
    assert [row.value for row in rows(Identity)] == ["ada@example.com"]


@pytest.mark.one_database
@pytest.mark.parametrize("path", [CHANGE, ADD, CONFIRM, "/identities/remove"])
def test_nobody_does_it_without_a_csrf_token(hers, path, rows):
    assert hers.post(path, csrf=None, email=NEW, passcode="1").status == 400
    assert rows(Challenge) == []


@pytest.mark.one_database
@pytest.mark.parametrize(
    "typed", ["", "nothing", "a@x@y.example", "a@x.example,b@y.example", "m\u0131ke@example.com", "a b@example.com"]
)
def test_what_is_no_address_is_refused(hers, typed, rows):
    answer = hers.post(CHANGE, email=typed)
    assert answer.status == 400
    assert answer.codes[0] in ("invalid_email_address", "email_not_provided")
    assert rows(Message) == []


@pytest.mark.parametrize("typed", ["ADA@example.com", "ada\uff20example.com", " ada@EXAMPLE.com "])
def test_ones_own_address_is_no_other_one(hers, typed):
    assert hers.post(CHANGE, email=typed).codes == ["email_already_associated"]


def test_a_taken_address_looks_like_a_free_one_and_its_owner_is_told(hers, people, mail_to, statements):
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
def test_in_explicit_mode_a_taken_address_is_said_to_be(hers, people, rows):
    bob = people.open(email="bob@example.com")
    assert hers.post(CHANGE, email=bob.email).codes == ["email_already_associated"]
    assert rows(Challenge) == []


def test_what_was_sent_to_the_old_address_is_good_no_more(hers, ada, prove, mail_to):
    there = hers.elsewhere()
    there.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    code = code_in(mail_to(ada.email))
    prove(hers, NEW)
    assert there.post("/us-signin", identity=ada.email, passcode=code).status == 400
    assert there.post("/us-signin", identity=NEW, passcode=code).status == 400


def test_a_session_that_was_ended_cannot_finish_what_it_began(hers, ada, emails, mail_to):
    hers.post(CHANGE, email=NEW)
    code = code_in(mail_to(NEW))
    sign_in(hers.elsewhere(), ada).post("/sessions/end-others")
    assert not hers.post(CONFIRM, passcode=code).json.get("user")
    assert emails(ada) == [ada.email]


def test_it_is_recorded_without_the_addresses(hers, ada, prove, rows):
    prove(hers, NEW)
    for name in ("address.change_requested", "address.change_confirmed"):
        (event,) = rows(Event, name=name)
        assert event.user_id == ada.id
        assert "@" not in str(event.facts)


@pytest.mark.one_database
def test_activity_tells_it(hers, prove):
    prove(hers, NEW)
    text = hers.get("/activity").text
    assert "Email change requested" in text
    assert "Email changed" in text


@pytest.mark.one_database
def test_signals_say_it_without_secrets(hers, ada, prove):
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
