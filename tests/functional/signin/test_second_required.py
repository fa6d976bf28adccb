"""Where a second factor is required: people without one set it up during sign-in."""

from __future__ import annotations

import pytest

from tests.functional.setup.conftest import app_code
from tests.functional.setup.test_second import key_in_setup
from tests.second import begin, taken
from tests.signed_in import sign_in
from tests.sinks import code_in, denial_in

pytestmark = pytest.mark.settings(second_factor="required")
PHONE = "+16502530000"


def test_user_without_second_factor_enrolls_totp_during_sign_in(wire, ada, code_for, rows):
    from app.enrollments.models import Enrollment
    from app.sessions.models import AuthSession

    answer = begin(wire, ada, code_for)
    if wire.language == "json":
        assert (answer.json["tf_required"], answer.json["tf_state"]) == (True, "setup_from_login")
    else:
        assert answer.location == "/tf-setup"
    wire.get("/tf-setup")
    begun = wire.post("/tf-setup", setup="authenticator")
    assert begun.json.get("tf_state_token", None) is None
    assert wire.post("/tf-validate", code=app_code(key_in_setup(begun))).ok
    assert wire.signed_in_as() == ada.email
    assert [row.amr for row in rows(AuthSession)] == ["email,authenticator"]
    assert [row.method for row in rows(Enrollment, is_second=True)] == ["authenticator"]


def test_enrollment_during_sign_in_ends_other_sessions_and_notifies_the_owner(wire, ada, code_for, mail_to):
    other = sign_in(wire.elsewhere(), ada)
    begin(wire, ada, code_for)
    wire.get("/tf-setup")
    assert wire.post("/tf-validate", code=app_code(key_in_setup(wire.post("/tf-setup", setup="authenticator")))).ok
    assert other.signed_in_as() is None
    assert wire.signed_in_as() == ada.email
    assert "Two-step verification was turned on" in mail_to(ada.email).text.replace("\n", " ")


def test_user_without_second_factor_enrolls_sms_during_sign_in(wire, ada, code_for, text_to):
    begin(wire, ada, code_for)
    wire.get("/tf-setup")
    assert wire.post("/tf-setup", setup="sms", phone=PHONE).ok
    wire.get("/tf-setup")  # where a browser is sent
    assert wire.post("/tf-validate", code=code_in(text_to(PHONE))).ok
    assert wire.signed_in_as() == ada.email


@pytest.mark.parametrize("method", ["authenticator", "sms"])
def test_not_me_report_removes_a_second_factor_enrolled_during_sign_in(json_wire, ada, method, mail_to, text_to, rows):
    from app.enrollments.models import Enrollment
    from app.users import Identity

    thief = json_wire.elsewhere(address="203.0.113.9")
    thief.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    thief.post("/us-signin", identity=ada.email, passcode=code_in(mail))
    begun = thief.post("/tf-setup", setup=method, phone=PHONE)
    code = code_in(text_to(PHONE)) if method == "sms" else app_code(key_in_setup(begun))
    assert thief.post("/tf-validate", code=code).ok
    assert json_wire.post(denial_in(mail), sure=True).ok
    assert [row.method for row in rows(Enrollment)] == ["email"]
    assert [row.kind for row in rows(Identity)] == ["email"]


def test_wrong_code_does_not_complete_enrollment_but_allows_a_retry(wire, ada, code_for, rows):
    from app.enrollments.models import Enrollment

    begin(wire, ada, code_for)
    wire.get("/tf-setup")
    begun = wire.post("/tf-setup", setup="authenticator")
    page = begun if wire.language == "json" else wire.follow(begun)
    answer = wire.post("/tf-validate", code="000000")
    assert answer.codes == ["two_factor_invalid_token"]
    assert wire.language == "json" or key_in_setup(answer) == key_in_setup(page), "picture and key stay"
    assert [row.method for row in rows(Enrollment)] == ["email"]
    assert wire.post("/tf-validate", code=app_code(key_in_setup(page))).ok


def test_existing_totp_app_is_required_without_being_marked_as_second_factor(wire, people, code_for):
    bob = people.open(email="bob@example.com", methods=["email", "authenticator"])
    begin(wire, bob, code_for)
    taken(wire.get("/tf-setup"), False)
    wire.get("/tf-validate")
    assert wire.post("/tf-validate", code=bob.app_code()).ok
    assert wire.signed_in_as() == bob.email


def test_enrollment_during_sign_in_is_rejected_once_the_owner_has_a_second_factor(wire, ada, code_for, rows):
    from app.enrollments.models import Enrollment

    begin(wire, ada, code_for)
    wire.get("/tf-setup")
    theirs = wire.post("/tf-setup", setup="authenticator")
    key = key_in_setup(theirs)
    owner = wire.elsewhere()
    begin(owner, ada, code_for)
    owner.get("/tf-setup")
    assert owner.post("/tf-validate", code=app_code(key_in_setup(owner.post("/tf-setup", setup="authenticator")))).ok
    taken(wire.post("/tf-validate", code=app_code(key)), False)
    assert wire.signed_in_as() is None
    assert [row.method for row in rows(Enrollment, is_second=True)] == ["authenticator"]


def test_required_second_factor_cannot_be_disabled_or_removed(wire, people):
    bob = people.open(email="bob@example.com", methods=["email", "authenticator"], second="authenticator")
    sign_in(wire, bob)
    assert wire.post("/tf-setup", setup="disable").codes == ["two_factor_method_not_available"]
    assert wire.post("/us-setup", delete_method=["authenticator"]).codes == ["last_second_factor"]


def test_account_with_unconfirmed_email_cannot_start_second_factor_enrollment(wire, people, text_to):
    people.open(email="eve@example.com", phone=PHONE, methods=["sms"], confirmed=False)
    wire.post("/us-signin/send-code", identity=PHONE, chosen_method="sms")
    answer = wire.post("/us-signin", identity=PHONE, passcode=code_in(text_to(PHONE)))
    assert "confirmation_required" in answer.codes


def test_totp_code_of_another_users_enrollment_is_rejected(wire, ada, people, code_for):
    eve = people.open(email="eve@example.com")
    other = wire.elsewhere()
    begin(other, eve, code_for)
    other.get("/tf-setup")
    hers = key_in_setup(other.post("/tf-setup", setup="authenticator"))
    begin(wire, ada, code_for)
    wire.get("/tf-setup")
    wire.post("/tf-setup", setup="authenticator")
    taken(wire.post("/tf-validate", code=app_code(hers)), False)
