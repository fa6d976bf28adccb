"""POST /us-setup and /us-setup/<state>: adding a sign-in method."""

from __future__ import annotations

import pytest

from tests.functional.setup.conftest import PHONE, app_code, key_in, state_in
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in


def test_authenticator_app_is_added_only_after_a_correct_code(hers, enrolled):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    assert begun.status == (200 if hers.language == "json" else 303)
    assert enrolled() == ["email"]
    proved = hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)))
    assert proved.ok
    assert enrolled() == ["authenticator", "email"]


def test_phone_is_added_only_after_a_correct_code(hers, enrolled, text_to, rows, ada):
    from app.users import Identity

    begun = hers.post("/us-setup", chosen_method="sms", phone="(650) 253-0000")
    code = code_in(text_to(PHONE))
    assert enrolled() == ["email"]
    assert [row.kind for row in rows(Identity)] == ["email"], "nothing is stored before the proof"
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode=code).ok
    assert enrolled() == ["email", "sms"]
    assert [(row.user_id, row.value) for row in rows(Identity, kind="phone")] == [(ada.id, PHONE)]
    assert rows(Identity, kind="phone")[0].confirmed_at is not None


def test_email_is_added_after_a_correct_code(people, wire, mail_to, rows):
    from app.enrollments.models import Enrollment

    bob = people.open(email="bob@example.com", methods=["authenticator"])
    begun = sign_in(wire, bob).post("/us-setup", chosen_method="email")
    assert wire.post(f"/us-setup/{state_in(begun)}", passcode=code_in(mail_to(bob.email))).ok
    assert {row.method for row in rows(Enrollment)} == {"authenticator", "email"}


@pytest.mark.settings(methods=["email", "password"])
def test_added_password_signs_in(hers, enrolled):
    begun = hers.post("/us-setup", chosen_method="password")
    short = hers.post(f"/us-setup/{state_in(begun)}", passcode="too short")
    assert (short.status, short.codes) == (400, ["password_invalid_length"])
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode="correct horse battery").ok
    assert enrolled() == ["email", "password"]
    elsewhere = hers.elsewhere()
    elsewhere.post("/us-signin", identity="ada@example.com", passcode="correct horse battery")
    assert elsewhere.signed_in_as() == "ada@example.com"


@pytest.mark.one_database
def test_json_authenticator_setup_contains_key_and_otpauth_uri(json_wire, ada):
    answer = sign_in(json_wire, ada).post("/us-setup", chosen_method="authenticator").json
    key = answer["authr_b32key"]
    assert len(key) == 32, "160 bits"
    assert answer["authr_key"].replace("-", "") == key
    assert (answer["authr_username"], answer["authr_issuer"]) == ("ada@example.com", "Latchkey")
    assert answer["authr_uri"].startswith("otpauth://totp/Latchkey:ada%40example.com?secret=" + key)
    assert (answer["chosen_method"], answer["phone"]) == ("authenticator", None)
    assert answer["state"]
    assert answer["csrf_token"]


@pytest.mark.one_database
def test_json_phone_setup_contains_the_phone_number(json_wire, ada, text_to):
    begun = sign_in(json_wire, ada).post("/us-setup", chosen_method="sms", phone=PHONE)
    assert (begun.json["chosen_method"], begun.json["phone"]) == ("sms", PHONE)
    done = json_wire.post(f"/us-setup/{begun.json['state']}", passcode=code_in(text_to(PHONE))).json
    assert done.pop("csrf_token")
    assert done == {"chosen_method": "sms", "phone": PHONE}


@pytest.mark.one_database
def test_json_authenticator_setup_contains_no_phone_number(json_wire, people):
    bob = people.open(email="bob@example.com", phone=PHONE)
    assert sign_in(json_wire, bob).post("/us-setup", chosen_method="authenticator").json["phone"] is None


@pytest.mark.one_database
@pytest.mark.settings(starts_per_address=200)
def test_numeric_json_code_is_zero_padded(json_wire, ada, enrolled):
    sign_in(json_wire, ada)
    key, state = "", ""
    for _ in range(200):  # until there is a key whose code of now begins with a zero
        begun = json_wire.post("/us-setup", chosen_method="authenticator")
        key, state = key_in(begun), state_in(begun)
        if app_code(key).startswith("0"):
            break
    assert json_wire.post(f"/us-setup/{state}", passcode=int(app_code(key))).ok


@pytest.mark.one_database
def test_api_client_without_cookies_adds_a_method_with_its_token(program, ada, enrolled):
    begun = give_token(program, ada).post("/us-setup", chosen_method="authenticator")
    assert program.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
    assert enrolled() == ["authenticator", "email"]
    assert program.get("/").status == 200, "its token is still good"


@pytest.mark.one_database
def test_browser_is_redirected_with_a_notice_after_adding(browser_wire, ada):
    begun = sign_in(browser_wire, ada).post("/us-setup", chosen_method="authenticator")
    done = browser_wire.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)))
    assert (done.status, done.location) == (302, "/mf-recovery-codes"), "after the first strong one"
    assert ("success", "Sign-in method added.") in browser_wire.follow(done).page.notices


@pytest.mark.one_database
@pytest.mark.settings(us_post_setup_url="/elsewhere")
def test_browser_is_redirected_to_the_configured_page_after_adding(browser_wire, ada):
    begun = sign_in(browser_wire, ada).post("/us-setup", chosen_method="authenticator")
    assert browser_wire.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).location == "/elsewhere"


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({}, "", "api_error"),
        ({"chosen_method": "pigeon"}, "chosen_method", "us_method_not_available"),
        ({"chosen_method": "password"}, "chosen_method", "us_method_not_available"),
        ({"chosen_method": "sms"}, "phone", "phone_invalid"),
        ({"chosen_method": "sms", "phone": "12"}, "phone", "phone_invalid"),
    ],
)
def test_invalid_method_or_phone_is_reported_on_its_field(hers, deliver, enrolled, fields, field, code):
    answer = hers.post("/us-setup", **fields)
    assert (answer.status, answer.codes) == (400, [code])
    assert list(answer.errors) == [field if hers.language == "json" or field == "phone" else ""]
    assert "csrf_token" not in answer.json
    assert (deliver(), enrolled()) == ([], ["email"])


@pytest.mark.settings(sms_countries="DE,FR")
def test_phone_number_of_an_unlisted_country_is_rejected(hers, text_to):
    answer = hers.post("/us-setup", chosen_method="sms", phone="+447400123456")
    assert (answer.status, answer.codes, list(answer.errors)) == (400, ["phone_country_unavailable"], ["phone"])
    assert hers.post("/us-setup", chosen_method="sms", phone="+4915112345678").ok
    assert text_to("+4915112345678")


@pytest.mark.one_database
@pytest.mark.settings(generic_responses=False)
def test_taken_phone_number_is_reported_without_generic_responses(hers, people, deliver, enrolled):
    people.open(email="bob@example.com", phone=PHONE)
    answer = hers.post("/us-setup", chosen_method="sms", phone=PHONE)
    assert (answer.status, answer.codes, list(answer.errors)) == (400, ["identity_already_associated"], ["phone"])
    assert (deliver(), enrolled()) == ([], ["email"])


def test_taken_phone_number_is_indistinguishable_from_a_wrong_code(hers, people, deliver, enrolled, statements):
    people.open(email="bob@example.com", phone=PHONE)
    hers.fetch_csrf()
    costs, codes = [], []
    for number in (PHONE, "+16502530009"):
        with statements() as seen:
            begun = hers.post("/us-setup", chosen_method="sms", phone=number)
        costs.append(len(seen))
        codes.append(hers.post(f"/us-setup/{state_in(begun)}", passcode="000000").codes)
    assert codes == [["invalid_password_code"]] * 2
    assert costs[0] == costs[1]
    assert [text.to for text in deliver()] == ["+16502530009"]
    assert enrolled() == ["email"]


def test_taken_phone_number_cannot_be_added_even_with_its_code(hers, people, rows, app, enrolled):
    from app.challenges.models import Challenge
    from app.challenges.passcodes import passcode_of, root_of

    people.open(email="bob@example.com", phone=PHONE)
    begun = hers.post("/us-setup", chosen_method="sms", phone=PHONE)
    [challenge] = rows(Challenge)
    with app.app_context():
        code = passcode_of(challenge, root_of(challenge, None))
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode=code).codes == ["invalid_password_code"]
    assert enrolled() == ["email"]


@pytest.mark.one_database
def test_own_phone_number_is_reported_as_taken(people, wire):
    sign_in(wire, people.open(email="ada@example.com", phone=PHONE))
    assert wire.post("/us-setup", chosen_method="sms", phone=PHONE).codes == ["identity_already_associated"]


@pytest.mark.one_database
def test_email_method_requires_an_email_address(people, wire):
    sign_in(wire, people.open(username="ada", methods=["authenticator"]))
    assert wire.post("/us-setup", chosen_method="email").codes == ["us_method_not_available"]


def test_new_phone_number_replaces_the_old_one(people, wire, text_to, rows):
    from app.users import Identity

    sign_in(wire, people.open(email="ada@example.com", phone="+16502530001"))
    begun = wire.post("/us-setup", chosen_method="sms", phone=PHONE)
    assert wire.post(f"/us-setup/{state_in(begun)}", passcode=code_in(text_to(PHONE))).ok
    assert [row.value for row in rows(Identity, kind="phone")] == [PHONE]


@pytest.mark.one_database
def test_taken_and_free_phone_numbers_cost_the_same_even_when_rate_limited(hers, people, statements):
    people.open(phone=PHONE)
    hers.get("/us-setup")
    found = {PHONE: [], "+16502530009": []}
    for _ in range(6):
        for number, costs in found.items():
            hers.fetch_csrf()
            with statements() as seen:
                status = hers.post("/us-setup", chosen_method="sms", phone=number).status
            costs.append((status, [statement.split("(")[0] for statement in seen]))
    assert found[PHONE][1:] == found["+16502530009"][1:]
    assert [status for status, _ in found[PHONE]] == [200 if hers.language == "json" else 303] * 3 + [429] * 3
    assert any("INSERT INTO message" in statement for statement in found[PHONE][2][1])
