"""Guesses at the second step and at reauthentication are counted, however a sign-in is repeated."""

from __future__ import annotations

import secrets
from collections import Counter

import pytest

from tests.functional.signin.conftest import wrong
from tests.second import PENDING, begin, first_step
from tests.wire import Wire

BROWSER = "latchkey_known"


def reasons(rows, name: str) -> Counter[str]:
    """Why guesses were refused, by how many."""
    from app.audit import Event

    return Counter(event.facts["reason"] for event in rows(Event, name=name))


def guess_at_the_app(wire: Wire, bob, code_for, *, forged: bool) -> None:
    """Passes the first step and enters five wrong codes at the second."""
    first_step(wire, bob, code_for)
    for _ in range(5):
        if forged:
            wire.client.set_cookie(BROWSER, secrets.token_urlsafe(32))
        wire.post("/tf-validate", code=wrong(bob.app_code()))


@pytest.mark.parametrize("forged", [False, True])
def test_forged_device_cookies_get_no_extra_second_factor_attempts(wire, bob, code_for, clock, rows, forged):
    for number in range(3):
        clock.shift(61)
        guess_at_the_app(wire.elsewhere(address=f"10.{number}.0.1"), bob, code_for, forged=forged)
    assert reasons(rows, "second_step.failed") == {"wrong_code": 10, "budget_spent": 5}


@pytest.mark.one_database
def test_five_wrong_second_factor_codes_notify_the_owner(wire, bob, code_for, deliver):
    guess_at_the_app(wire, bob, code_for, forged=False)
    (mail,) = deliver()
    assert mail.to == [bob.email]
    assert "five wrong codes" in mail.text
    assert "Email code" in mail.text


def test_reauthentication_attempts_are_limited_across_sessions(wire, people, code_for, clock, rows):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"])
    for number in range(2):
        clock.shift(121)
        session = wire.elsewhere(address=f"10.{number}.0.1")
        begin(session, eve, code_for)
        for _ in range(7):
            session.post("/us-verify", passcode=wrong(eve.app_code()))
    assert reasons(rows, "sign_in.failed") == {"wrong_code": 10, "budget_spent": 4}


@pytest.mark.one_database
def test_locked_totp_app_cannot_sign_in(wire, bob, rows, app):
    import sqlalchemy as sa

    from app.enrollments.models import Enrollment
    from app.extensions import db

    with app.app_context():
        db.session.execute(sa.update(Enrollment).values(misses=100))
        db.session.commit()
    assert not wire.post("/us-signin", identity=bob.email, passcode=bob.app_code()).ok
    assert wire.signed_in_as() is None


@pytest.mark.one_database
def test_sign_in_ends_the_pending_sign_in_of_the_same_browser(wire, bob, people, code_for):
    first_step(wire, bob, code_for)
    kept = wire.cookies[PENDING]
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"])
    assert wire.post("/us-signin", identity=eve.email, passcode=eve.app_code()).ok
    wire.client.set_cookie(PENDING, kept)
    wire.post("/tf-validate", code=bob.app_code())
    assert wire.signed_in_as() == eve.email
