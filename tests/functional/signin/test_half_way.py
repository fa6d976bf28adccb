"""What ends a pending sign-in, and what can't be set up in one."""

from __future__ import annotations

import pytest

from app.enrollments.models import Enrollment
from app.sessions.models import PendingSignIn
from tests.functional.setup.conftest import app_code
from tests.second import begin, first_step, taken
from tests.sinks import denial_in

PHONE = "+16502530000"


@pytest.mark.settings(denied_penalty=0)
def test_not_me_report_ends_the_pending_sign_in(wire, bob, code_for, smtp, rows):
    first_step(wire, bob, code_for)
    owner = wire.elsewhere(address="192.0.2.9")
    assert owner.post(denial_in(smtp.to(bob.email)[-1]), sure="y").ok
    taken(wire.post("/tf-validate", code=bob.app_code()), False)
    assert wire.signed_in_as() is None
    assert all(row.ended_at for row in rows(PendingSignIn))


def test_ending_all_sessions_ends_the_pending_sign_in(wire, bob, code_for, app, rows):
    first_step(wire, bob, code_for)
    result = app.test_cli_runner().invoke(args=["users", "sessions", "end", bob.email, "--all"])
    assert result.exit_code == 0, result.output
    taken(wire.post("/tf-validate", code=bob.app_code()), False)
    assert wire.signed_in_as() is None
    assert all(row.ended_at for row in rows(PendingSignIn))


@pytest.mark.settings(second_factor="required")
@pytest.mark.parametrize("named", ["webauthn", "email", "password", "pigeon"])
def test_enrollment_during_sign_in_rejects_methods_that_are_no_second_factor(json_wire, ada, code_for, rows, named):
    begin(json_wire, ada, code_for)
    answer = json_wire.post("/tf-setup", setup=named)
    assert (answer.status, answer.codes) == (400, ["two_factor_method_not_available"])
    assert [row.method for row in rows(Enrollment)] == ["email"]


@pytest.mark.both_databases
@pytest.mark.settings(second_factor="required")
def test_enrollment_during_sign_in_fails_if_a_second_factor_was_added_meanwhile(json_wire, ada, code_for, rows, app):
    begin(json_wire, ada, code_for)
    begun = json_wire.post("/tf-setup", setup="authenticator").json
    with app.app_context():
        from app.authenticators.enrollments import enroll
        from app.extensions import db

        enroll(ada.id, "sms")
        db.session.commit()
    answer = json_wire.post("/tf-validate", code=app_code(begun["tf_authr_b32key"]))
    assert (answer.status, answer.codes) == (400, ["two_factor_permission_denied"])
    assert sorted(row.method for row in rows(Enrollment)) == ["email", "sms"]
