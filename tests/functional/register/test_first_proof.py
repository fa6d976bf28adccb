"""Whoever opens an account in another's name gains nothing: the first proof sweeps away what came before it."""

from __future__ import annotations

import pytest

from app.methods import EnrolledMethod
from tests.sinks import code_in

ADA = "ada@example.com"
THEIRS = "the attacker's own password"
HERS = "a password that ada made up"

pytestmark = pytest.mark.settings(methods=["email", "password", "authenticator"])


@pytest.fixture
def attacker(wire, register):
    """A browser that has asked for an account in Ada's name, with a password."""
    other = wire.elsewhere(address="192.0.2.66")
    assert register(ADA, by=other, password=THEIRS, password_confirm=THEIRS).ok
    return other


def their_password_works(attacker) -> bool:
    return attacker.post("/us-signin", identity=ADA, passcode=THEIRS).ok


def test_a_password_opens_nothing_before_the_proof(attacker):
    assert not their_password_works(attacker)


def test_who_signs_in_by_mail_drops_an_earlier_password(wire, attacker, mail_to, rows):
    wire.post("/us-signin/send-code", identity=ADA, chosen_method="email")
    assert wire.post("/us-signin", identity=ADA, passcode=code_in(mail_to(ADA))).ok
    assert not their_password_works(attacker)
    assert [row.method for row in rows(EnrolledMethod)] == ["email"]


def test_who_follows_the_attackers_mail_drops_their_password(wire, attacker, mailed_link):
    assert wire.post(mailed_link()).ok
    assert not their_password_works(attacker)


def test_who_registers_afterwards_drops_an_earlier_password(wire, attacker, register, mailed_code):
    register(ADA)
    assert wire.post("/confirm", email=ADA, passcode=mailed_code()).ok
    assert not their_password_works(attacker)


def test_who_registers_afterwards_has_the_password_they_chose(wire, attacker, register, mailed_code):
    register(ADA, password=HERS, password_confirm=HERS)
    wire.post("/confirm", email=ADA, passcode=mailed_code())
    wire.post("/logout")
    assert not their_password_works(attacker)
    assert wire.post("/us-signin", identity=ADA, passcode=HERS).ok


def test_who_was_first_keeps_the_password_they_chose(wire, register, mailed_link):
    register(ADA, password=HERS, password_confirm=HERS)
    link = mailed_link()
    attacker = wire.elsewhere()
    register(ADA, by=attacker, password=THEIRS, password_confirm=THEIRS)
    assert wire.get(link).status == 302
    wire.post("/logout")
    assert not their_password_works(attacker)
    assert wire.post("/us-signin", identity=ADA, passcode=HERS).ok


def test_a_second_password_from_one_browser_replaces_the_first(wire, register, mailed_code, rows):
    for password in (THEIRS, HERS):
        register(ADA, password=password, password_confirm=password)
    wire.post("/confirm", email=ADA, passcode=mailed_code())
    assert sorted(row.method for row in rows(EnrolledMethod)) == ["email", "password"]
    wire.post("/logout")
    assert not wire.post("/us-signin", identity=ADA, passcode=THEIRS).ok
    assert wire.post("/us-signin", identity=ADA, passcode=HERS).ok


def test_an_app_set_up_before_the_proof_opens_nothing_after_it(wire, people, mail_to):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"], confirmed=False)
    wire.post("/us-signin/send-code", identity=eve.email, chosen_method="email")
    assert wire.post("/us-signin", identity=eve.email, passcode=code_in(mail_to(eve.email))).ok
    assert not wire.elsewhere().post("/us-signin", identity=eve.email, passcode=eve.app_code()).ok
    assert not wire.elsewhere().post("/us-signin", identity=eve.email, passcode=eve.app_code(1)).ok


def test_the_attackers_own_link_is_dead_after_the_proof(wire, attacker, mailed_link, mail_to):
    link = mailed_link()
    wire.post("/us-signin/send-code", identity=ADA, chosen_method="email")
    wire.post("/us-signin", identity=ADA, passcode=code_in(mail_to(ADA)))
    attacker.get(link)
    assert attacker.signed_in_as() is None
