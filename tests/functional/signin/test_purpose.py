"""A token or code works only for its own purpose (security: purposes do not mix)."""

from __future__ import annotations

import pytest

from tests.sinks import code_in, link_in

pytestmark = pytest.mark.settings(limits=False)


@pytest.fixture
def eve(people):
    """Someone with a mailbox, an app and no phone."""
    return people.open(email="eve@example.com", methods=["email", "authenticator"])


@pytest.fixture
def newcomer(wire, mail_to):
    """What a registration was mailed: code and link."""
    wire.post("/register", email="new@example.com")
    mail = mail_to("new@example.com")
    return code_in(mail), link_in(mail).removeprefix("http://localhost")


def enter(wire, eve) -> None:
    """Sign in by the app, whose codes belong to no challenge."""
    assert wire.post("/us-signin", identity=eve.email, passcode=eve.app_code()).ok


def begin_phone(wire) -> str:
    """Begin to set up a phone; return the state."""
    answer = wire.post("/us-setup", chosen_method="sms", phone="+16502530000")
    assert answer.ok, answer
    return answer.json.get("state") or next(
        form["action"].rpartition("/")[2] for form in answer.page.forms if form["action"].startswith("/us-setup/")
    )


def test_sign_in_code_cannot_reauthenticate_or_complete_enrollment(wire, eve, code_for):
    code = code_for(eve.email)
    enter(wire, eve)
    assert wire.post("/us-verify", passcode=code).codes == ["invalid_password_code"]
    state = begin_phone(wire)
    assert not wire.post(f"/us-setup/{state}", passcode=code).ok


def test_reauthentication_code_cannot_sign_in_or_confirm(wire, eve, mail_to):
    enter(wire, eve)
    wire.post("/us-verify/send-code", chosen_method="email")
    code = code_in(mail_to(eve.email))
    wire.post("/logout")
    assert wire.post("/us-signin", identity=eve.email, passcode=code).codes == ["generic_authn_failed"]
    assert wire.post("/confirm", email=eve.email, passcode=code).codes == ["invalid_password_code"]


def test_phone_enrollment_code_cannot_reauthenticate_or_sign_in(wire, eve, text_to):
    enter(wire, eve)
    begin_phone(wire)
    code = code_in(text_to("+16502530000"))
    assert wire.post("/us-verify", passcode=code).codes == ["invalid_password_code"]
    wire.post("/logout")
    for identity in (eve.email, "+16502530000"):
        assert wire.post("/us-signin", identity=identity, passcode=code).codes == ["generic_authn_failed"]


def test_confirmation_code_is_rejected_by_the_sign_in_form(wire, newcomer):
    code, _ = newcomer
    assert wire.post("/us-signin", identity="new@example.com", passcode=code).codes == ["generic_authn_failed"]
    assert wire.post("/confirm", email="new@example.com", passcode=code).ok


def test_sign_in_code_cannot_confirm_a_registration(wire, newcomer, code_for):
    code = code_for("new@example.com")
    assert wire.post("/confirm", email="new@example.com", passcode=code).codes == ["invalid_password_code"]


def test_sign_in_and_confirmation_links_are_not_interchangeable(wire, newcomer, link_for):
    sign_in = link_for("new@example.com").partition("=")[2]
    confirm = newcomer[1].rpartition("/")[2]
    assert wire.get(f"/confirm/{sign_in}").location == "/confirm"
    assert wire.get(f"/us-verify-link?token={confirm}").location == "/us-signin"
    assert wire.post("/us-verify-link", token=confirm).status == 400
    assert wire.post(f"/confirm/{sign_in}").status == 400
    assert wire.signed_in_as() is None


def test_codes_and_link_tokens_are_not_interchangeable(wire, ada, code_for, smtp):
    code = code_for(ada.email)
    token = link_in(smtp.mails[0]).partition("=")[2]
    for wrong in (code, token.split(".")[3], token.split(".")[1]):
        assert wire.get(f"/us-verify-link?token={wrong}").location == "/us-signin"
    for wrong in (token, token.split(".")[3]):
        assert not wire.post("/us-signin", identity=ada.email, passcode=wrong).ok
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_challenge_is_accepted_neither_as_link_token_nor_as_session(json_wire, ada):
    challenge = json_wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email").json["challenge"]
    assert json_wire.get(f"/us-verify-link?token={challenge}").location == "/us-signin"
    json_wire.client.set_cookie("latchkey_session", challenge, domain="localhost")
    assert json_wire.signed_in_as() is None


def test_link_token_parts_are_not_accepted_as_challenge(json_wire, ada, code_for, smtp):
    code = code_for(ada.email, by=json_wire)
    kid, challenge, _, secret, mac = link_in(smtp.mails[0]).partition("=")[2].split(".")
    other = json_wire.elsewhere()
    for handle in (f"{challenge}.{secret}", f"{challenge}.{mac}", challenge, f"{kid}.{challenge}"):
        assert not other.post("/us-signin", identity=ada.email, passcode=code, challenge=handle).ok


def test_enrollment_state_is_not_accepted_as_sign_in_challenge(json_wire, eve, text_to):
    enter(json_wire, eve)
    state = begin_phone(json_wire)
    code = code_in(text_to("+16502530000"))
    answer = json_wire.elsewhere().post("/us-signin", identity=eve.email, passcode=code, challenge=state)
    assert answer.codes == ["generic_authn_failed"]


def test_padded_or_truncated_codes_are_not_interchangeable_between_email_and_sms(wire, people, mail_to, text_to):
    eve = people.open(email="eve@example.com", phone="+16502530000")
    for method in ("email", "sms"):
        wire.post("/us-signin/send-code", identity=eve.email, chosen_method=method)
    mailed, texted = code_in(mail_to(eve.email)), code_in(text_to(eve.phone))
    for wrong in (mailed[:6], mailed[2:], f"00{texted}", f"{texted}00"):
        assert not wire.post("/us-signin", identity=eve.email, passcode=wrong).ok


def test_session_cookie_is_not_accepted_as_link_token(wire, ada, sign_in):
    cookie = sign_in(ada.email).cookies["latchkey_session"]
    other = wire.elsewhere()
    assert other.get(f"/us-verify-link?token={cookie}").location == "/us-signin"
    assert other.signed_in_as() is None
