"""``flask users second-step``: an operator helps someone who lost their second factor."""

from __future__ import annotations

import pytest

from app.enrollments.models import Enrollment
from tests.signed_in import sign_in


@pytest.fixture
def flask(app):
    """Runs ``flask users`` with arguments; returns output and exit status."""

    def run(*words: str) -> tuple[str, int]:
        done = app.test_cli_runner().invoke(args=["users", *words])
        return done.output, done.exit_code

    return run


@pytest.fixture
def bob(people):
    """Someone with a second step."""
    return people.open(email="bob@example.com", methods=["email", "authenticator"], second="authenticator")


@pytest.mark.both_databases
def test_second_step_is_shown_and_can_be_turned_off(flask, bob, json_wire, mail_to, rows):
    sign_in(json_wire, bob)
    assert flask("second-step", bob.email) == ("bob@example.com: Authenticator app.\n", 0)
    printed, status = flask("second-step", bob.email, "--off")
    assert ("turned off" in printed, status) == (True, 0)
    assert rows(Enrollment, is_second=True) == []
    assert json_wire.signed_in_as() is None
    assert "turned off two-step verification" in mail_to(bob.email).text
    assert flask("second-step", bob.email, "--off")[0] == "bob@example.com: no second step is set up.\n"


def test_unknown_user_is_reported(flask):
    printed, status = flask("second-step", "nobody@example.com")
    assert ("no account has that" in printed, status) == (True, 1)


@pytest.mark.both_databases
def test_unlock_resets_the_failed_attempts_of_an_authenticator_app(app, flask, bob, rows):
    import sqlalchemy as sa

    from app.extensions import db

    with app.app_context():
        db.session.execute(sa.update(Enrollment).where(Enrollment.method == "authenticator").values(misses=100))
        db.session.commit()
    assert flask("unlock", bob.email) == ("bob@example.com: unlocked.\n", 0)
    assert {row.misses for row in rows(Enrollment)} == {0}
