"""/tf-setup: a second step is turned on by verifying it, and off again."""

from __future__ import annotations

import pytest

from tests.functional.setup.conftest import PHONE, app_code, key_in
from tests.second import begin_setup, prove_setup
from tests.signed_in import sign_in
from tests.sinks import code_in


@pytest.fixture
def asked(rows, ada):
    """Returns Ada's second factors: ``asked() == ["authenticator"]``."""
    from app.enrollments.models import Enrollment

    return lambda: sorted(row.method for row in rows(Enrollment, user_id=ada.id, is_second=True))


def test_app_becomes_second_step_only_after_a_correct_code(hers, asked, enrolled):
    begun = begin_setup(hers, setup="authenticator")
    assert asked() == []
    done = prove_setup(hers, begun, app_code(key_in_setup(begun)))
    assert done.ok
    assert asked() == ["authenticator"]
    assert enrolled() == ["authenticator", "email"]


@pytest.mark.one_database
def test_json_second_step_setup_contains_all_details(json_wire, ada):
    sign_in(json_wire, ada)
    page = json_wire.get("/tf-setup").json
    assert page.pop("csrf_token")
    assert page == {
        "tf_required": False,
        "tf_primary_method": None,
        "tf_method": None,
        "tf_phone_number": None,
        "tf_available_methods": ["authenticator", "sms"],
    }
    begun = json_wire.post("/tf-setup", setup="authenticator").json
    assert (begun["tf_state"], begun["tf_method"]) == ("validating_profile", "authenticator")
    assert begun["tf_authr_key"].replace("-", "") == begun["tf_authr_b32key"]
    assert begun["tf_authr_uri"].startswith("otpauth://totp/Latchkey:ada%40example.com?secret=")
    done = json_wire.post(f"/tf-setup/{begun['tf_state_token']}", code=app_code(begun["tf_authr_b32key"])).json
    assert done.pop("csrf_token")
    assert done == {"tf_method": "authenticator", "tf_primary_method": "authenticator", "tf_phone": None}
    assert json_wire.get("/tf-setup").json["tf_available_methods"] == ["disable", "authenticator", "sms"]


def test_phone_becomes_second_step_after_a_correct_code(hers, asked, text_to):
    begun = begin_setup(hers, setup="sms", phone=PHONE)
    assert prove_setup(hers, begun, code_in(text_to(PHONE))).ok
    assert asked() == ["sms"]


def test_existing_app_becomes_second_step_by_its_own_code(people, wire, rows):
    from app.enrollments.models import Enrollment

    bob = people.open(email="bob@example.com", methods=["email", "authenticator"])
    begun = begin_setup(sign_in(wire, bob), setup="authenticator", existing=True)
    assert key_in_setup(begun) == ""
    assert prove_setup(wire, begun, bob.app_code()).ok
    (app,) = rows(Enrollment, method="authenticator")
    assert (app.is_second, app.last_step > 0) == (True, True)


def test_existing_phone_becomes_second_step_by_an_sms_code(people, wire, text_to, rows):
    from app.enrollments.models import Enrollment

    bob = people.open(email="bob@example.com", phone=PHONE)
    begun = begin_setup(sign_in(wire, bob), setup="sms", phone="(650) 253-0000")
    assert prove_setup(wire, begun, code_in(text_to(PHONE))).ok
    assert [row.method for row in rows(Enrollment, is_second=True)] == ["sms"]


def test_a_wrong_code_changes_nothing(hers, asked):
    begun = begin_setup(hers, setup="authenticator")
    answer = prove_setup(hers, begun, "000000")
    assert (answer.status, answer.codes) == (400, ["two_factor_invalid_token"])
    assert asked() == []
    assert prove_setup(hers, begun, app_code(key_in_setup(begun))).ok


def test_second_step_can_be_disabled_and_stays_a_sign_in_method(hers, asked, enrolled):
    begun = begin_setup(hers, setup="authenticator")
    assert prove_setup(hers, begun, app_code(key_in_setup(begun))).ok
    assert hers.post("/tf-setup", setup="disable").ok
    assert asked() == []
    assert enrolled() == ["authenticator", "email"], "it stays a way to sign in"


def test_toggling_second_step_ends_other_sessions_and_notifies_the_owner(hers, ada, mail_to):
    for step in ("on", "off"):
        other = sign_in(hers.elsewhere(), ada)
        if step == "on":
            begun = begin_setup(hers, setup="authenticator")
            assert prove_setup(hers, begun, app_code(key_in_setup(begun))).ok
        else:
            assert hers.post("/tf-setup", setup="disable").ok
        assert other.signed_in_as() is None
        assert f"Two-step verification was turned {step}" in mail_to(ada.email).text


def test_setup_state_of_another_user_is_rejected(hers, people, asked):
    begun = begin_setup(hers, setup="authenticator")
    eve = sign_in(hers.elsewhere(), people.open(email="eve@example.com"))
    answer = prove_setup(eve, begun, app_code(key_in_setup(begun)))
    assert answer.codes == ["api_error"]
    assert asked() == []


def test_setup_state_works_once(hers, asked):
    begun = begin_setup(hers, setup="authenticator")
    key = key_in_setup(begun)
    assert prove_setup(hers, begun, app_code(key)).ok
    assert prove_setup(hers, begun, app_code(key, 1)).codes == ["api_error"]


def test_state_of_a_method_setup_is_rejected_for_second_step_setup(hers, asked):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    from tests.functional.setup.conftest import state_in

    answer = hers.post(f"/tf-setup/{state_in(begun)}", code=app_code(key_in(begun)))
    assert answer.codes == ["api_error"]
    assert asked() == []


@pytest.mark.one_database
@pytest.mark.parametrize("setup", ["email", "password", "webauthn", "nonsense"])
def test_method_that_cannot_be_a_second_step_is_rejected(hers, setup):
    answer = hers.post("/tf-setup", setup=setup)
    assert (answer.status, answer.codes) == (400, ["two_factor_method_not_available"])


def test_only_sign_in_method_cannot_become_the_second_step(people, wire):
    bob = people.open(phone=PHONE)
    answer = sign_in(wire, bob, via="sms").post("/tf-setup", setup="sms")
    assert answer.codes == ["two_factor_only_way"]


def test_method_needed_before_the_second_step_cannot_be_removed(people, wire):
    bob = people.open(email="bob@example.com", phone=PHONE, second="sms")
    assert sign_in(wire, bob, via="email,sms").post("/us-setup", delete_method=["email"]).codes == ["last_method"]


def test_additional_app_becomes_second_step_like_the_first(hers, asked):
    begun = begin_setup(hers, setup="authenticator")
    assert prove_setup(hers, begun, app_code(key_in_setup(begun))).ok
    again = hers.post("/us-setup", chosen_method="authenticator")
    from tests.functional.setup.conftest import state_in

    assert hers.post(f"/us-setup/{state_in(again)}", passcode=app_code(key_in(again))).ok
    assert asked() == ["authenticator", "authenticator"]


def test_second_step_setup_requires_reauthentication(hers, clock):
    clock.shift(301)
    assert hers.get("/tf-setup").status == (401 if hers.language == "json" else 200)
    assert hers.post("/tf-setup", setup="authenticator").status == (401 if hers.language == "json" else 302)


def key_in_setup(answer) -> str:
    """Return the base32 key that ``answer`` shows, or "" when it shows none."""
    return str(answer.json.get("tf_authr_b32key", "")) if answer.json else key_in(answer)
