"""/wan-signin as the second step: only after the first, with one of the user's own passkeys."""

from __future__ import annotations

import pytest

from tests.authenticators import PRESENT, Device
from tests.functional.passkeys.conftest import asked, sign_in
from tests.sinks import code_in
from tests.wire import Wire


@pytest.fixture
def stick():
    """A security key that asks for nothing."""
    return Device(flags=PRESENT, counts=1)


@pytest.fixture
def first(mail_to):
    """Completes the first step by email code; returns the response."""

    def take(wire, person, **more):
        wire.post("/us-signin/send-code", identity=person.email, chosen_method="email")
        code = code_in(mail_to(person.email))
        answer = wire.post("/us-signin", identity=person.email, passcode=code, **more)
        wire.get("/wan-signin")  # for its CSRF token
        return answer

    return take


@pytest.fixture
def hers(wire, ada, stick, add_passkey):
    """A browser, then a program; Ada has a passkey for the second step."""
    add_passkey(ada, stick, usage="secondary")
    return wire


def step(wire, device, **bent):
    """Complete the second step; return the response."""
    options, state = asked(wire.post("/wan-signin"))
    return wire.post(f"/wan-signin/{state}", credential=device.sign(options, **bent))


def test_emailed_code_requires_the_passkey_as_second_factor(hers, ada, stick, first, language):
    answer = first(hers, ada)
    assert answer.ok
    assert answer.location == ("/wan-signin" if language == "form" else None)
    assert hers.signed_in_as() is None
    if language == "json":
        assert answer.json["tf_required"] is True
        assert (answer.json["tf_method"], answer.json["tf_signin_url"]) == ("webauthn", "/wan-signin")
        assert "tf_primary_method" not in answer.json


def test_passkey_as_second_factor_reaches_aal2(hers, ada, stick, first):
    first(hers, ada)
    assert step(hers, stick, user_handle=b"").ok
    assert hers.signed_in_as() == ada.email
    home = hers.get("/", headers={"Accept": "application/json"}).json
    assert (home["amr"], home["aal"]) == (["email", "webauthn"], 2)


def test_second_step_redirects_to_next(browser_wire, ada, stick, add_passkey, first):
    add_passkey(ada, stick, usage="secondary")
    answer = first(browser_wire, ada, next="/sessions")
    assert answer.location == "/wan-signin?next=%2Fsessions"
    page = browser_wire.follow(answer)
    assert page.page.heading == "One more step"
    assert step(browser_wire, stick).location == "/sessions"


def test_json_options_are_secondary_and_list_the_users_passkeys(json_wire, ada, stick, add_passkey, first):
    add_passkey(ada, stick, usage="secondary")
    first(json_wire, ada)
    assert json_wire.get("/wan-signin").json["is_secondary"] is True
    begun = json_wire.post("/wan-signin").json
    assert begun["is_secondary"] is True
    assert len(begun["credential_options"]["allowCredentials"]) == 1


def test_api_client_completes_the_second_step_with_pending(program, ada, stick, add_passkey, mail_to):
    add_passkey(ada, stick, usage="secondary")
    sent = program.post("/us-signin/send-code", identity=ada.email, chosen_method="email").json
    proof = {"identity": ada.email, "passcode": code_in(mail_to(ada.email)), "challenge": sent["challenge"]}
    pending = program.post("/us-signin", **proof).json["pending"]
    begun = program.post("/wan-signin", pending=pending).json
    path = f"/wan-signin/{begun['wan_state']}?include_auth_token"
    answer = program.post(path, credential=stick.sign(begun["credential_options"]), pending=pending)
    program.token = answer.json["user"]["authentication_token"]
    assert program.signed_in_as() == ada.email


def test_passkey_of_another_user_is_rejected_as_second_factor(hers, ada, people, add_passkey, first):
    theirs = Device()
    add_passkey(people.open(email="eve@example.com"), theirs)
    first(hers, ada)
    answer = step(hers, theirs)
    assert (answer.status, answer.codes, hers.signed_in_as()) == (400, ["webauthn_mismatch_user_handle"], None)


def test_sign_in_passkey_is_accepted_as_second_factor(hers, ada, device, add_passkey, first):
    add_passkey(ada, device)
    first(hers, ada)
    assert step(hers, device).ok
    assert hers.signed_in_as() == ada.email


def test_second_step_assertion_can_be_used_only_once(hers, ada, stick, first, rows):
    from app.sessions.models import AuthSession

    first(hers, ada)
    options, state = asked(hers.post("/wan-signin"))
    signed = stick.sign(options)
    assert hers.post(f"/wan-signin/{state}", credential=signed).ok
    hers.post("/logout")
    before = len(rows(AuthSession))
    assert hers.post(f"/wan-signin/{state}", credential=signed).codes == ["api_error"]
    assert len(rows(AuthSession)) == before


def test_first_factor_ceremony_is_rejected_in_the_second_step(hers, ada, device, add_passkey, first):
    add_passkey(ada, device)
    options, state = asked(hers.post("/wan-signin"))
    first(hers, ada)
    assert hers.post(f"/wan-signin/{state}", credential=device.sign(options)).codes == ["api_error"]


def test_second_step_ceremony_is_rejected_as_first_factor(hers, ada, device, add_passkey, first):
    add_passkey(ada, device)
    first(hers, ada)
    options, state = asked(hers.post("/wan-signin"))
    hers.get("/us-signin")  # cancels the pending sign-in
    assert hers.post(f"/wan-signin/{state}", credential=device.sign(options)).codes == ["api_error"]
    assert hers.signed_in_as() is None


def test_ceremony_of_an_earlier_pending_sign_in_is_rejected(hers, ada, stick, first):
    first(hers, ada)
    options, state = asked(hers.post("/wan-signin"))
    first(hers, ada)
    assert hers.post(f"/wan-signin/{state}", credential=stick.sign(options)).codes == ["api_error"]


def test_user_verified_passkey_needs_no_second_step(hers, ada, device, add_passkey, language):
    add_passkey(ada, device)
    answer = step(hers, device)
    assert answer.location == ("/" if language == "form" else None)
    assert hers.signed_in_as() == ada.email


def test_second_step_is_not_required_after_the_passkey_was_deleted(hers, ada, device, stick, add_passkey, first):
    add_passkey(ada, device)
    assert sign_in(hers.elsewhere(), ada).post("/wan-delete", name="Passkey").ok
    first(hers, ada)
    assert hers.signed_in_as() == ada.email


def test_totp_can_be_used_instead_of_the_second_factor_passkey(app, people, add_passkey, first, stick):
    bob = people.open(email="bob@example.com", methods=["email", "authenticator"])
    add_passkey(bob, stick, usage="secondary")
    browser = Wire(app, "json")
    answer = first(browser, bob)
    assert answer.json["tf_method"] == "webauthn"
    assert browser.post("/us-signin", identity=bob.email, passcode=bob.app_code()).ok


@pytest.mark.one_database
@pytest.mark.settings(passkeys=False)
def test_passkey_is_no_second_factor_when_passkeys_are_disabled(app):
    from app.login.second_factor import enabled_second_factors

    with app.app_context():
        assert "webauthn" not in enabled_second_factors()
