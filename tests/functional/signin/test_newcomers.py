"""Somebody new asks to sign in: the code or link in their mail opens the account. One way in for everybody."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.enrollments.models import Enrollment
from app.sessions.models import AuthSession
from app.users import User
from tests.functional.signin.conftest import wrong
from tests.sinks import code_in, denial_in, link_in

SEND, SIGN_IN = "/us-signin/send-code", "/us-signin"
NEW = "new@example.com"
HERE = "http://localhost"


@pytest.fixture
def mail(wire, mail_to):
    """The mail to somebody new, whose browser is ``wire``."""
    assert wire.post(SEND, identity="New@Example.com", chosen_method="email", next="/sessions").ok
    return mail_to(NEW)


def test_the_mail_says_that_an_account_is_created(mail, rows):
    assert mail.subject.startswith("Create your Latchkey account")
    told = " ".join(mail.text.split())
    assert "There's no Latchkey account with this email yet." in told
    assert "No account is created unless the code or the link is used" in told
    assert rows(User) == [], "nothing is stored before the answer"


def test_the_code_creates_it_and_signs_in(wire, mail, rows, mail_to):
    answer = wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail), next="/sessions")
    assert answer.ok
    assert answer.location == ("/sessions" if wire.language == "form" else None)
    assert wire.signed_in_as() == NEW
    (user,) = rows(User)
    assert user.confirmed_at is not None
    assert [row.method for row in rows(Enrollment, user_id=user.id)] == ["email"]
    assert {"account.created", "address.confirmed", "sign_in.succeeded"} <= {event.name for event in rows(Event)}
    assert [row.amr for row in rows(AuthSession)] == ["confirm"]


def test_a_program_is_answered_as_anybody(json_wire, mail_to):
    json_wire.post(SEND, identity=NEW, chosen_method="email")
    answer = json_wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail_to(NEW)))
    assert (answer.status, set(answer.json)) == (200, {"csrf_token", "tf_required", "user"})


def test_it_is_nothing_new_that_they_came(wire, mail, deliver):
    wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail))
    assert deliver() == [], "no mail of a new browser"


def test_the_link_does_as_well_and_keeps_where_one_was_going(wire, mail):
    answer = wire.get(link_in(mail, "/us-verify-link").removeprefix(HERE))
    assert (answer.status, answer.location) == (302, "/sessions")
    assert wire.signed_in_as() == NEW


def test_a_link_opened_elsewhere_lets_the_screen_that_asked_go_on(json_wire, mail_to, rows):
    asked = json_wire.post(SEND, identity=NEW, chosen_method="email").json
    token = link_in(mail_to(NEW), "/us-verify-link").partition("token=")[2]
    phone = json_wire.elsewhere()
    assert phone.get(f"/us-verify-link?token={token}").ok
    assert rows(User) == []
    from urllib.parse import unquote

    assert phone.post("/us-verify-link", token=unquote(token), characters=asked["link_characters"]).ok
    assert phone.signed_in_as() is None
    assert json_wire.post("/us-signin/continue", challenge=asked["challenge"]).ok
    assert json_wire.signed_in_as() == NEW


def test_a_code_is_good_once_and_only_where_it_was_asked_for(wire, mail, rows):
    code = code_in(mail)
    assert wire.elsewhere().post(SIGN_IN, identity=NEW, passcode=code).status == 400
    assert wire.post(SIGN_IN, identity=NEW, passcode=wrong(code)).status == 400
    assert rows(User) == []
    assert wire.post(SIGN_IN, identity=NEW, passcode=code).ok
    wire.post("/logout")
    assert wire.post(SIGN_IN, identity=NEW, passcode=code).status == 400


def test_a_code_for_one_address_creates_no_other(wire, mail, rows):
    assert wire.post(SIGN_IN, identity="other@example.com", passcode=code_in(mail)).status == 400
    assert rows(User) == []


def test_it_runs_out(wire, mail, rows, clock):
    clock.shift(601)
    assert wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail)).status == 400
    assert rows(User) == []


def test_whoever_was_first_has_the_account(wire, mail, people, rows):
    people.open(email=NEW)
    assert wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail)).status == 400
    assert len(rows(User)) == 1
    assert rows(AuthSession) == []


def test_that_it_was_not_them_ends_the_request_and_later_the_session(wire, mail, rows, clock):
    path = denial_in(mail)
    assert wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail)).ok
    assert wire.elsewhere(address="192.0.2.9").post(path, sure=True).ok
    assert wire.signed_in_as() is None


def test_who_denied_it_has_no_account(wire, mail, rows):
    assert wire.elsewhere(address="192.0.2.9").post(denial_in(mail), sure=True).ok
    assert not wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail)).ok
    assert rows(User) == []


@pytest.mark.settings(registration=False)
def test_where_nobody_can_open_one_nothing_is_sent(wire, deliver, rows):
    assert wire.post(SEND, identity=NEW, chosen_method="email").ok
    assert deliver() == []
    assert len(rows(Challenge)) == 1


def test_what_was_sent_before_registration_was_closed_opens_nothing(make_app, wire, mail, rows):
    from tests.wire import Wire

    closed = Wire(make_app(registration=False), wire.language)
    for name, value in wire.cookies.items():
        closed.client.set_cookie(name, value)
    assert closed.post(SIGN_IN, identity=NEW, passcode=code_in(mail)).status == 400
    assert rows(User) == []


@pytest.mark.settings(generic_responses=False)
def test_in_explicit_mode_one_is_told_that_there_is_no_account(wire, deliver):
    assert wire.post(SEND, identity=NEW, chosen_method="email").codes == ["us_specify_identity"]
    assert deliver() == []


@pytest.mark.parametrize(("identity", "method"), [("+16502530000", "sms"), ("+16502530000", "email"), ("ada", "email")])
def test_only_addresses_are_written_to(wire, deliver, identity, method):
    wire.post(SEND, identity=identity, chosen_method=method)
    assert deliver() == []


def test_strangers_get_no_more_mails_than_an_account(wire, deliver):
    for _ in range(7):
        wire.elsewhere().post(SEND, identity=NEW, chosen_method="email")
    assert len(deliver()) == 5


def test_the_page_says_the_same_to_everybody(browser_wire, people):
    people.open(email="ada@example.com")
    seen = []
    for identity in ("ada@example.com", "new@example.com"):
        page = browser_wire.elsewhere().post(SEND, identity=identity, chosen_method="email").page
        seen.append((page.heading, [name for name, _ in page.inputs]))
    assert seen[0] == seen[1]


@pytest.mark.one_database
@pytest.mark.parametrize(("typed", "method"), [("+16502530000", "sms"), ("ada_l", "email")])
def test_where_no_code_creates_an_account_the_page_leads_to_where_one_is(browser_wire, typed, method):
    answer = browser_wire.post(SEND, identity=typed, chosen_method=method, next="/sessions")
    assert "/register?next=/sessions" in answer.page.links
    assert "/register" not in str(browser_wire.post(SEND, identity=NEW, chosen_method="email").page.links)


@pytest.mark.one_database
@pytest.mark.settings(registration=False)
def test_where_nobody_can_open_one_it_does_not(browser_wire):
    assert "/register" not in str(browser_wire.post(SEND, identity="+16502530000").page.links)
