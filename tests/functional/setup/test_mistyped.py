"""A mistyped code while setting up an app: QR code and key stay, and a wrong clock is mentioned."""

from __future__ import annotations

import pytest

from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.functional.signin.conftest import wrong
from tests.second import begin_setup
from tests.signed_in import sign_in

pytestmark = pytest.mark.one_database


@pytest.fixture
def middle_of_step(clock):
    """Ten seconds into a step of 30, so that no test runs over its edge."""
    clock.shift(-((clock.unix() - 10) % 30))


@pytest.mark.usefixtures("middle_of_step")
def test_qr_code_and_key_stay_the_same_after_a_wrong_code(hers, enrolled):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    state, key = state_in(begun), key_in(begun)
    for _ in range(3):
        refused = hers.post(f"/us-setup/{state}", passcode=wrong(app_code(key)))
        assert (refused.status, refused.codes) == (400, ["invalid_password_code"])
        assert "new one" not in str(refused.errors), "there is none to ask for"
        if hers.language == "form":
            assert (state_in(refused), key_in(refused)) == (state, key)
            assert "data:image/svg" in refused.text
    assert hers.post(f"/us-setup/{state}", passcode=app_code(key)).ok
    assert "authenticator" in enrolled()


@pytest.mark.usefixtures("middle_of_step")
@pytest.mark.parametrize(
    ("steps", "code"), [(-2, "totp_clock_off"), (19, "totp_clock_off"), (40, "invalid_password_code")]
)
def test_code_from_a_skewed_clock_is_explained(hers, enrolled, steps, code):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    refused = hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun), steps))
    assert refused.codes == [code]
    assert ("Check your phone" in str(refused.errors)) == (code == "totp_clock_off")
    assert "authenticator" not in enrolled()
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok


@pytest.mark.usefixtures("middle_of_step")
def test_second_step_setup_explains_clock_skew_and_keeps_the_key(hers):
    begun = begin_setup(hers, setup="authenticator")
    key = begun.json.get("tf_authr_b32key") or key_in(begun)
    actions = [form["action"] for form in begun.page.forms if form.get("action", "").startswith("/tf-setup/")]
    path = f"/tf-setup/{begun.json['tf_state_token']}" if begun.json else actions[0]
    assert hers.post(path, code=app_code(key, 3)).codes == ["totp_clock_off"]
    refused = hers.post(path, code=wrong(app_code(key)))
    assert refused.codes == ["two_factor_invalid_token"]
    assert hers.language == "json" or key_in(refused) == key
    assert hers.post(path, code=app_code(key)).ok


def test_key_is_hidden_after_five_wrong_codes(browser_wire, ada):
    begun = sign_in(browser_wire, ada).post("/us-setup", chosen_method="authenticator")
    for _ in range(5):
        refused = browser_wire.post(f"/us-setup/{state_in(begun)}", passcode=wrong(app_code(key_in(begun))))
    assert key_in(refused) == ""


def test_key_is_not_shown_to_another_session(browser_wire, ada):
    begun = sign_in(browser_wire, ada).post("/us-setup", chosen_method="authenticator")
    other = sign_in(browser_wire.elsewhere(), ada)
    refused = other.post(f"/us-setup/{state_in(begun)}", passcode="000000")
    assert refused.status == 400
    assert key_in(begun)
    assert key_in(refused) == ""
