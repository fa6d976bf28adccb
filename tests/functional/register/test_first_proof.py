"""Someone who creates an account with another's address gains nothing: the first verification removes it all."""

from __future__ import annotations

import re

import pytest

from app.enrollments.models import Enrollment
from app.users import Identity, User
from tests.oidc import register as register_app
from tests.signed_in import sign_in
from tests.sinks import code_in
from tests.wire import Program

ADA = "ada@example.com"
THEIRS = "the attacker's own password"
HERS = "a password that ada made up"

pytestmark = pytest.mark.settings(methods=["email", "password", "authenticator"])
with_texts = pytest.mark.settings(methods=["email", "sms", "password", "authenticator"])


@pytest.fixture
def attacker(wire, register):
    """A browser that has asked for an account in Ada's name, with a password."""
    other = wire.elsewhere(address="192.0.2.66")
    assert register(ADA, by=other, password=THEIRS, password_confirm=THEIRS).ok
    return other


def their_password_works(attacker) -> bool:
    return attacker.post("/us-signin", identity=ADA, passcode=THEIRS).ok


def test_password_does_not_sign_in_before_confirmation(attacker):
    assert not their_password_works(attacker)


def test_sign_in_by_email_code_drops_the_attackers_password(wire, attacker, mail_to, rows):
    wire.post("/us-signin/send-code", identity=ADA, chosen_method="email")
    assert wire.post("/us-signin", identity=ADA, passcode=code_in(mail_to(ADA))).ok
    assert not their_password_works(attacker)
    assert [row.method for row in rows(Enrollment)] == ["email"]


def test_confirming_via_the_attackers_link_drops_their_password(wire, attacker, mailed_link):
    assert wire.post(mailed_link()).ok
    assert not their_password_works(attacker)


def test_later_registration_drops_the_attackers_password(wire, attacker, register, mailed_code):
    register(ADA)
    assert wire.post("/confirm", email=ADA, passcode=mailed_code()).ok
    assert not their_password_works(attacker)


def test_later_registration_uses_its_own_password(wire, attacker, register, mailed_code):
    register(ADA, password=HERS, password_confirm=HERS)
    wire.post("/confirm", email=ADA, passcode=mailed_code())
    wire.post("/logout")
    assert not their_password_works(attacker)
    assert wire.post("/us-signin", identity=ADA, passcode=HERS).ok


def test_first_registration_keeps_its_own_password(wire, register, mailed_link):
    register(ADA, password=HERS, password_confirm=HERS)
    link = mailed_link()
    attacker = wire.elsewhere()
    register(ADA, by=attacker, password=THEIRS, password_confirm=THEIRS)
    assert wire.get(link).status == 302
    wire.post("/logout")
    assert not their_password_works(attacker)
    assert wire.post("/us-signin", identity=ADA, passcode=HERS).ok


def test_second_password_from_the_same_browser_replaces_the_first(wire, register, mailed_code, rows):
    for password in (THEIRS, HERS):
        register(ADA, password=password, password_confirm=password)
    wire.post("/confirm", email=ADA, passcode=mailed_code())
    assert sorted(row.method for row in rows(Enrollment)) == ["email", "password"]
    wire.post("/logout")
    assert not wire.post("/us-signin", identity=ADA, passcode=THEIRS).ok
    assert wire.post("/us-signin", identity=ADA, passcode=HERS).ok


def test_app_set_up_before_confirmation_does_not_sign_in_afterwards(wire, people, mail_to):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"], confirmed=False)
    wire.post("/us-signin/send-code", identity=eve.email, chosen_method="email")
    assert wire.post("/us-signin", identity=eve.email, passcode=code_in(mail_to(eve.email))).ok
    assert not wire.elsewhere().post("/us-signin", identity=eve.email, passcode=eve.app_code()).ok
    assert not wire.elsewhere().post("/us-signin", identity=eve.email, passcode=eve.app_code(1)).ok


def test_attackers_link_is_invalid_after_confirmation(wire, attacker, mailed_link, mail_to):
    link = mailed_link()
    wire.post("/us-signin/send-code", identity=ADA, chosen_method="email")
    wire.post("/us-signin", identity=ADA, passcode=code_in(mail_to(ADA)))
    attacker.get(link)
    assert attacker.signed_in_as() is None


@pytest.fixture
def eve(people):
    """Someone with an unverified mailbox and a phone, and everything else set up."""
    methods = ["email", "sms", "authenticator", "password"]
    return people.open("eve@example.com", phone="+16502530000", password=HERS, methods=methods, confirmed=False)


@pytest.fixture
def by_text(wire, eve, text_to):
    """A browser that has signed in as Eve by a text message."""
    other = wire.elsewhere()
    other.post("/us-signin/send-code", identity=eve.email, chosen_method="sms")
    assert other.post("/us-signin", identity=eve.email, passcode=code_in(text_to(eve.phone))).ok
    return other


@with_texts
def test_sms_sign_in_does_not_confirm_an_account_with_an_email(by_text, rows):
    assert rows(User)[0].confirmed_at is None
    assert [row.kind for row in rows(Identity) if row.confirmed_at] == ["phone"]
    assert {row.method for row in rows(Enrollment)} == {"email", "sms", "authenticator", "password"}


@with_texts
def test_email_confirmation_revokes_earlier_sessions_and_methods(wire, eve, by_text, mail_to, rows):
    wire.post("/us-signin/send-code", identity=eve.email, chosen_method="email")
    assert wire.post("/us-signin", identity=eve.email, passcode=code_in(mail_to(eve.email))).ok
    assert rows(User)[0].confirmed_at is not None
    assert (by_text.signed_in_as(), wire.signed_in_as()) == (None, eve.email)
    assert sorted(row.method for row in rows(Enrollment)) == ["email", "sms"]
    for passcode in (eve.password, eve.app_code()):
        assert not wire.elsewhere().post("/us-signin", identity=eve.email, passcode=passcode).ok


@with_texts
def test_email_confirmation_revokes_earlier_api_and_oidc_tokens(app, wire, people, mail_to):
    eve = people.open("eve@example.com", phone="+16502530000", methods=["email", "sms"], confirmed=False)
    by_text = sign_in(wire.elsewhere(), eve, via="sms")
    made = by_text.post("/tokens", name="Nightly", scopes=["read"], expires_in_days=30)
    assert made.ok, made
    program = Program(app)
    program.token = made.json.get("token") or re.search(r'id="made-token">([^<]+)<', made.text)[1]
    app_of_theirs = register_app(app)
    tokens = app_of_theirs.tokens(by_text, scope="openid offline_access")
    assert program.signed_in_as() == eve.email
    wire.post("/us-signin/send-code", identity=eve.email, chosen_method="email")
    assert wire.post("/us-signin", identity=eve.email, passcode=code_in(mail_to(eve.email))).ok
    assert program.signed_in_as() is None
    assert app_of_theirs.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


@with_texts
def test_later_email_sign_in_revokes_nothing(wire, eve, mail_to, clock):
    browsers = [wire, wire.elsewhere()]
    for browser in browsers:
        browser.post("/us-signin/send-code", identity=eve.email, chosen_method="email")
        assert browser.post("/us-signin", identity=eve.email, passcode=code_in(mail_to(eve.email))).ok
    assert [browser.signed_in_as() for browser in browsers] == [eve.email] * 2


@with_texts
def test_sms_sign_in_confirms_an_account_without_email(wire, people, text_to, rows):
    bob = people.open(phone="+16502530001", confirmed=False)
    wire.post("/us-signin/send-code", identity=bob.phone, chosen_method="sms")
    assert wire.post("/us-signin", identity=bob.phone, passcode=code_in(text_to(bob.phone))).ok
    assert rows(User)[0].confirmed_at is not None
