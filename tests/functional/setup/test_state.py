"""POST /us-setup/<state>: a state works once, for its user, for ten minutes and five tries."""

from __future__ import annotations

import pytest

from tests.functional.setup.conftest import PHONE, app_code, key_in, state_in
from tests.signed_in import sign_in
from tests.sinks import code_in


def test_setup_state_of_another_user_is_rejected(hers, people, enrolled, rows):
    from app.enrollments.models import Enrollment

    begun = hers.post("/us-setup", chosen_method="authenticator")
    bobs = sign_in(hers.elsewhere(), people.open(email="bob@example.com"))
    answer = bobs.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)))
    assert (answer.status, answer.codes) == (400, ["api_error"])
    assert {row.method for row in rows(Enrollment)} == {"email"}
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok, "its user still can"


def test_setup_state_works_once(hers, rows, enrolled):
    from app.enrollments.models import Enrollment

    begun = hers.post("/us-setup", chosen_method="authenticator")
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
    first = [row.id for row in rows(Enrollment, method="authenticator")]
    again = hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun), 1))
    assert (again.status, again.codes) == (400, ["api_error"])
    assert [row.id for row in rows(Enrollment, method="authenticator")] == first


def test_setup_state_expires_after_ten_minutes(hers, clock, enrolled):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    key = key_in(begun)
    clock.shift(601)
    answer = hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key))
    assert (answer.status, answer.codes) == (400, ["us_setup_expired"])
    assert enrolled() == ["email"]


@pytest.mark.one_database
def test_page_title_says_error_once_after_a_setup_state_ended(browser_wire, ada):
    hers = sign_in(browser_wire, ada)
    shown = hers.follow(hers.get("/us-setup/ended"))
    assert shown.page.title.startswith("Error: ")
    assert [kind for kind, _ in shown.page.notices] == ["error"]
    assert not hers.get("/us-setup").page.title.startswith("Error: ")


@pytest.mark.one_database
def test_setup_state_remains_valid_after_the_session_is_no_longer_fresh(hers, clock, enrolled):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    clock.shift(599)
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok


@pytest.mark.one_database
def test_sms_code_expires_after_five_minutes(hers, clock, text_to, enrolled):
    begun = hers.post("/us-setup", chosen_method="sms", phone=PHONE)
    code = code_in(text_to(PHONE))
    clock.shift(301)
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode=code).codes == ["invalid_password_code"]
    assert enrolled() == ["email"]


@pytest.mark.settings(sms_setups_per_hour=1)
def test_code_of_a_withheld_sms_is_rejected(app, hers, rows, enrolled, deliver):
    from app.challenges.models import Challenge
    from app.challenges.passcodes import passcode_of, root_of

    begun = [hers.post("/us-setup", chosen_method="sms", phone=phone) for phone in ("+16502530001", PHONE)]
    assert [text.to for text in deliver()] == ["+16502530001"], "one account sets one number up in an hour"
    [withheld] = rows(Challenge, sends=0)
    assert state_in(begun[-1]).startswith(withheld.id)
    with app.app_context():
        code = passcode_of(withheld, root_of(withheld, None))
    answer = hers.post(f"/us-setup/{state_in(begun[-1])}", passcode=code)
    assert (answer.status, answer.codes) == (400, ["invalid_password_code"])
    assert enrolled() == ["email"]


def test_wrong_code_is_reported_and_counted_and_may_be_retried(hers, rows, enrolled):
    from app.challenges.models import Challenge

    begun = hers.post("/us-setup", chosen_method="authenticator")
    right = app_code(key_in(begun))
    answer = hers.post(f"/us-setup/{state_in(begun)}", passcode=f"{(int(right) + 1) % 10**6:06}")
    assert (answer.status, answer.codes) == (400, ["invalid_password_code"])
    assert rows(Challenge)[0].tries == 1
    assert enrolled() == ["email"]
    state = state_in(answer) if hers.language == "form" else state_in(begun)
    assert hers.post(f"/us-setup/{state}", passcode=right).ok


@pytest.mark.parametrize("method", ["authenticator", "sms"])
def test_correct_code_is_rejected_after_five_wrong_attempts(hers, rows, enrolled, text_to, method):
    from app.challenges.models import Challenge

    begun = hers.post("/us-setup", chosen_method=method, phone=PHONE)
    right = app_code(key_in(begun)) if method == "authenticator" else code_in(text_to(PHONE))
    for guess in range(1, 6):
        hers.post(f"/us-setup/{state_in(begun)}", passcode=f"{(int(right) + 5 * guess) % 10**6:06}")
    answer = hers.post(f"/us-setup/{state_in(begun)}", passcode=right)
    assert (answer.status, answer.codes) == (400, ["invalid_password_code"])
    assert (rows(Challenge)[0].tries, enrolled()) == (5, ["email"])


@pytest.mark.one_database
@pytest.mark.parametrize("state", ["x", "%00", "a" * 3000, "0" * 32 + "." + "0" * 64, "%F0%9F%94%91"])
def test_malformed_setup_state_is_rejected(hers, state):
    answer = hers.post(f"/us-setup/{state}", passcode="123456")
    assert (answer.status, answer.codes) == (400, ["api_error"])


@pytest.mark.one_database
def test_code_is_required(hers):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    answer = hers.post(f"/us-setup/{state_in(begun)}")
    assert (answer.status, answer.codes, list(answer.errors)) == (400, ["required"], ["passcode"])


@pytest.mark.one_database
def test_setup_state_is_rejected_as_sign_in_challenge(people, program, hers, text_to):
    begun = hers.post("/us-setup", chosen_method="sms", phone=PHONE)
    code = code_in(text_to(PHONE))
    stolen = {"passcode": code, "challenge": state_in(begun)}
    for path in ("/us-signin", "/us-verify", "/confirm"):
        assert program.post(path, identity="ada@example.com", email="ada@example.com", **stolen).status >= 400
    assert hers.post("/us-verify", chosen_method="email", **stolen).codes == ["invalid_password_code"]


@pytest.mark.one_database
def test_phone_number_taken_meanwhile_is_rejected_and_the_old_one_stays(people, wire, text_to, rows):
    from app.users import Identity

    sign_in(wire, people.open(email="ada@example.com", phone="+16502530001"))
    begun = wire.post("/us-setup", chosen_method="sms", phone=PHONE)
    code = code_in(text_to(PHONE))
    people.open(email="bob@example.com", phone=PHONE)
    answer = wire.post(f"/us-setup/{state_in(begun)}", passcode=code)
    assert (answer.status, answer.codes) == (400, ["identity_already_associated"])
    assert sorted(row.value for row in rows(Identity, kind="phone")) == [PHONE, "+16502530001"]


@pytest.mark.one_database
def test_key_is_shown_only_in_its_session_and_until_setup_completes(hers, ada):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    key, state = key_in(begun), state_in(begun)
    elsewhere = sign_in(hers.elsewhere(), ada)
    strangers = [elsewhere.get(f"/us-setup/{state}"), elsewhere.get("/us-setup")]
    done = hers.post(f"/us-setup/{state}", passcode=app_code(key))
    later = [hers.get("/us-setup"), hers.get("/"), hers.get("/us-verify"), done, hers.get(f"/us-setup/{state}")]
    later += strangers
    grouped = "-".join(key[at : at + 4] for at in range(0, 32, 4))
    assert key in begun.text.replace("-", "")
    assert [
        answer for answer in later if key in answer.text or grouped in answer.text or "otpauth" in answer.text
    ] == []


def test_keys_and_codes_are_not_stored_in_clear(hers, database, text_to):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    hers.post("/us-setup", chosen_method="sms", phone=PHONE)
    secrets = {key_in(begun), code_in(text_to(PHONE)), state_in(begun)}
    hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)))
    at_rest = [
        str(row) for table in ("challenge", "enrolled_method", "message", "event", "auth_session")
        for row in database.query(f"SELECT * FROM {table}")
    ]  # fmt: skip
    assert [row for row in at_rest for secret in secrets if secret in row] == []
