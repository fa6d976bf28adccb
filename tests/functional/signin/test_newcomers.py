"""Signing in without an account: the code or link in the email creates it. The same flow for everyone."""

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
    """The email to someone new, whose browser is ``wire``."""
    assert wire.post(SEND, identity="New@Example.com", chosen_method="email", next="/sessions").ok
    return mail_to(NEW)


def test_sign_up_email_says_that_the_code_creates_an_account(mail, rows):
    assert mail.subject.startswith("Create your Latchkey account")
    told = " ".join(mail.text.split())
    assert "There's no Latchkey account with this email yet." in told
    assert "No account is created unless the code or the link is used" in told
    assert rows(User) == [], "nothing is stored before the answer"


def test_emailed_code_creates_the_account_and_signs_in(wire, mail, rows, mail_to):
    answer = wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail), next="/sessions")
    assert answer.ok
    assert answer.location == ("/sessions" if wire.language == "form" else None)
    assert wire.signed_in_as() == NEW
    (user,) = rows(User)
    assert user.confirmed_at is not None
    assert [row.method for row in rows(Enrollment, user_id=user.id)] == ["email"]
    assert {"account.created", "address.confirmed", "sign_in.succeeded"} <= {event.name for event in rows(Event)}
    assert [row.amr for row in rows(AuthSession)] == ["confirm"]


def test_json_sign_up_response_matches_a_regular_sign_in(json_wire, mail_to):
    json_wire.post(SEND, identity=NEW, chosen_method="email")
    answer = json_wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail_to(NEW)))
    assert (answer.status, set(answer.json)) == (200, {"csrf_token", "tf_required", "user"})


def test_sign_up_sends_no_new_device_email(wire, mail, deliver):
    wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail))
    assert deliver() == [], "no mail of a new browser"


def test_magic_link_creates_the_account_and_redirects_to_next(wire, mail):
    answer = wire.get(link_in(mail, "/us-verify-link").removeprefix(HERE))
    assert (answer.status, answer.location) == (302, "/sessions")
    assert wire.signed_in_as() == NEW


def test_sign_up_link_can_be_approved_on_another_device(json_wire, mail_to, rows):
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


def test_sign_up_code_works_once_and_only_in_the_requesting_browser(wire, mail, rows):
    code = code_in(mail)
    assert wire.elsewhere().post(SIGN_IN, identity=NEW, passcode=code).status == 400
    assert wire.post(SIGN_IN, identity=NEW, passcode=wrong(code)).status == 400
    assert rows(User) == []
    assert wire.post(SIGN_IN, identity=NEW, passcode=code).ok
    wire.post("/logout")
    assert wire.post(SIGN_IN, identity=NEW, passcode=code).status == 400


def test_sign_up_code_is_rejected_for_another_email(wire, mail, rows):
    assert wire.post(SIGN_IN, identity="other@example.com", passcode=code_in(mail)).status == 400
    assert rows(User) == []


def test_expired_sign_up_code_creates_no_account(wire, mail, rows, clock):
    clock.shift(601)
    assert wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail)).status == 400
    assert rows(User) == []


def test_sign_up_code_is_rejected_if_the_email_was_taken_meanwhile(wire, mail, people, rows):
    people.open(email=NEW)
    assert wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail)).status == 400
    assert len(rows(User)) == 1
    assert rows(AuthSession) == []


def test_not_me_report_after_sign_up_ends_the_session(wire, mail, rows, clock):
    path = denial_in(mail)
    assert wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail)).ok
    assert wire.elsewhere(address="192.0.2.9").post(path, sure=True).ok
    assert wire.signed_in_as() is None


def test_not_me_report_before_sign_up_prevents_the_account(wire, mail, rows):
    assert wire.elsewhere(address="192.0.2.9").post(denial_in(mail), sure=True).ok
    assert not wire.post(SIGN_IN, identity=NEW, passcode=code_in(mail)).ok
    assert rows(User) == []


@pytest.mark.settings(registration=False)
def test_closed_registration_sends_nothing_to_unknown_email(wire, deliver, rows):
    assert wire.post(SEND, identity=NEW, chosen_method="email").ok
    assert deliver() == []
    assert len(rows(Challenge)) == 1


def test_sign_up_code_is_rejected_after_registration_was_closed(make_app, wire, mail, rows):
    from tests.wire import Wire

    closed = Wire(make_app(registration=False), wire.language)
    for name, value in wire.cookies.items():
        closed.client.set_cookie(name, value)
    assert closed.post(SIGN_IN, identity=NEW, passcode=code_in(mail)).status == 400
    assert rows(User) == []


@pytest.mark.settings(generic_responses=False)
def test_explicit_mode_reports_unknown_identity_and_sends_nothing(wire, deliver):
    assert wire.post(SEND, identity=NEW, chosen_method="email").codes == ["us_specify_identity"]
    assert deliver() == []


@pytest.mark.parametrize(("identity", "method"), [("+16502530000", "sms"), ("+16502530000", "email"), ("ada", "email")])
def test_unknown_phone_number_or_username_is_sent_nothing(wire, deliver, identity, method):
    wire.post(SEND, identity=identity, chosen_method=method)
    assert deliver() == []


def test_emails_to_unknown_address_are_rate_limited(wire, deliver):
    for _ in range(7):
        wire.elsewhere().post(SEND, identity=NEW, chosen_method="email")
    assert len(deliver()) == 5


def test_code_page_is_the_same_for_known_and_unknown_email(browser_wire, people):
    people.open(email="ada@example.com")
    seen = []
    for identity in ("ada@example.com", "new@example.com"):
        page = browser_wire.elsewhere().post(SEND, identity=identity, chosen_method="email").page
        seen.append((page.heading, [name for name, _ in page.inputs]))
    assert seen[0] == seen[1]


@pytest.mark.one_database
@pytest.mark.parametrize(("typed", "method"), [("+16502530000", "sms"), ("ada_l", "email")])
def test_code_page_links_to_registration_if_the_code_cannot_create_an_account(browser_wire, typed, method):
    answer = browser_wire.post(SEND, identity=typed, chosen_method=method, next="/sessions")
    assert "/register?next=/sessions" in answer.page.links
    assert "/register" not in str(browser_wire.post(SEND, identity=NEW, chosen_method="email").page.links)


@pytest.mark.one_database
@pytest.mark.settings(registration=False)
def test_code_page_has_no_registration_link_when_registration_is_closed(browser_wire):
    assert "/register" not in str(browser_wire.post(SEND, identity="+16502530000").page.links)
