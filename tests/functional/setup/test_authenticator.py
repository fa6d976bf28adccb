"""TOTP codes: one step of drift either way, and each step used once (RFC 6238, section 5.2)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.wire import Program


@pytest.fixture
def eve(people):
    """Someone with an app whose key the test has."""
    return people.open(email="eve@example.com", methods=["authenticator"])


@pytest.fixture
def middle_of_step(clock):
    """Ten seconds into a step of 30, so that no test runs over its edge."""
    clock.shift(-((clock.unix() - 10) % 30))


@pytest.mark.usefixtures("middle_of_step")
@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_code_is_accepted_one_time_step_early_or_late(wire, eve, steps, good):
    answer = wire.post("/us-signin", identity=eve.email, passcode=eve.app_code(steps))
    assert answer.ok is good
    assert wire.signed_in_as() == (eve.email if good else None)


@pytest.mark.one_database
@pytest.mark.usefixtures("middle_of_step")
@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_enrollment_code_is_accepted_one_time_step_early_or_late(hers, enrolled, steps, good):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun), steps)).ok is good
    assert ("authenticator" in enrolled()) is good


@pytest.mark.usefixtures("middle_of_step")
def test_used_and_earlier_codes_are_rejected(wire, eve):
    assert wire.post("/us-signin", identity=eve.email, passcode=eve.app_code()).ok
    for steps in (0, -1):
        elsewhere = wire.elsewhere()
        assert elsewhere.post("/us-signin", identity=eve.email, passcode=eve.app_code(steps)).status == 400
    assert wire.elsewhere().post("/us-signin", identity=eve.email, passcode=eve.app_code(1)).ok


@pytest.mark.usefixtures("middle_of_step")
def test_code_used_for_enrollment_does_not_sign_in(hers):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    key = key_in(begun)
    hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key))
    elsewhere = hers.elsewhere()
    assert elsewhere.post("/us-signin", identity="ada@example.com", passcode=app_code(key)).status == 400
    assert elsewhere.post("/us-signin", identity="ada@example.com", passcode=app_code(key, 1)).ok


@pytest.mark.one_database
@pytest.mark.usefixtures("middle_of_step")
def test_used_code_in_fullwidth_digits_is_rejected(program, eve):
    code = eve.app_code()
    assert program.post("/us-signin", identity=eve.email, passcode=code).ok
    wide = code.translate({48 + digit: 0xFF10 + digit for digit in range(10)})
    assert program.post("/us-signin", identity=eve.email, passcode=wide).status == 400


@pytest.mark.both_databases
@pytest.mark.usefixtures("middle_of_step")
def test_concurrent_use_of_one_code_creates_one_session(app, eve, rows):
    from app.sessions.models import AuthSession

    code = eve.app_code()

    def attempt(_: int) -> bool:
        return Program(app).post("/us-signin", identity=eve.email, passcode=code).ok

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(attempt, range(6)))
    assert done.count(True) == 1
    assert len(rows(AuthSession)) == 1


@pytest.mark.both_databases
@pytest.mark.usefixtures("middle_of_step")
def test_concurrent_use_of_one_setup_state_adds_one_authenticator(app, people, rows):
    from app.enrollments.models import Enrollment
    from tests.signed_in import give_token

    ada = people.open(email="ada@example.com")
    programs = [give_token(Program(app), ada)] * 4  # no other session can answer
    begun = programs[0].post("/us-setup", chosen_method="authenticator")

    def attempt(program: Program) -> bool:
        return program.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(attempt, programs))
    assert done.count(True) == 1
    assert len(rows(Enrollment, method="authenticator")) == 1
