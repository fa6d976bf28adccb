"""A password chosen before verification, and stored after it in a race, never works."""

from __future__ import annotations

import pytest

from app.enrollments.methods import active_methods
from app.enrollments.models import Enrollment
from tests.signed_in import may_change, sign_in

THEIRS = "the attacker's own password"
HERS = "a password that ada made up"
METHODS = ["password", "email"]

pytestmark = pytest.mark.settings(methods=METHODS)


@pytest.fixture
def plant(app, people):
    """Stores the attacker's password for someone who has already verified their address, as the race would."""

    def store(person) -> None:
        from app.authenticators.enrollments import enroll
        from app.authenticators.password import hash_password
        from app.extensions import db

        with app.app_context():
            enroll(person.id, "password", hash_password(THEIRS)).name = "x" * 64
            db.session.commit()

    return store


@pytest.fixture
def ada(people, plant):
    """Someone who signs in by email, with the attacker's password in the account."""
    person = people.open(email="ada@example.com")
    plant(person)
    return person


def test_planted_password_cannot_sign_in(wire, ada):
    answer = wire.post("/us-signin", identity=ada.email, passcode=THEIRS)
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])
    assert wire.signed_in_as() is None


@pytest.mark.settings(generic_responses=False)
@pytest.mark.parametrize(
    ("passcode", "code"), [(THEIRS, "confirmation_required"), (HERS, "invalid_password_code")], ids=["right", "wrong"]
)
def test_explicit_mode_requires_confirmation_for_a_planted_password(wire, ada, passcode, code):
    answer = wire.post("/us-signin", identity=ada.email, passcode=passcode)
    assert (answer.status, answer.codes) == (400, [code])
    assert wire.signed_in_as() is None


def test_planted_password_cannot_reauthenticate(wire, ada, clock):
    sign_in(wire, ada)
    clock.shift(301)
    answer = wire.post("/us-verify", passcode=THEIRS)
    assert (answer.status, answer.codes) == (400, ["invalid_password_code"])
    assert not may_change(wire)


def test_planted_password_is_not_listed_as_an_active_method(app, json_wire, ada, rows):
    with app.app_context():
        assert active_methods(rows(Enrollment, user_id=ada.id)) == ["email"]
    assert sign_in(json_wire, ada).get("/us-verify").json["available_methods"] == ["email"]
    assert json_wire.get("/us-setup").json["active_methods"] == ["email"]


@pytest.mark.one_database
def test_planted_password_does_not_count_as_a_remaining_sign_in_method(wire, ada):
    answer = sign_in(wire, ada).post("/us-setup", delete_method="email")
    assert (answer.status, answer.codes) == (400, ["last_method"])


def test_planted_password_does_not_shadow_the_owners_password(app, wire, people, plant):
    from app.authenticators.enrollments import enroll
    from app.authenticators.password import hash_password
    from app.extensions import db

    bob = people.open(email="bob@example.com")
    plant(bob)
    with app.app_context():
        enroll(bob.id, "password", hash_password(HERS))
        db.session.commit()
    assert not wire.post("/us-signin", identity=bob.email, passcode=THEIRS).ok
    assert wire.post("/us-signin", identity=bob.email, passcode=HERS).ok
