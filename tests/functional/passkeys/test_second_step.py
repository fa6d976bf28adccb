"""/wan-signin as the second step: whoever took the first one takes it, with their own passkey."""

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
    """Takes the first step by a mailed code; returns the answer."""

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
    """Take the second step; return the answer."""
    options, state = asked(wire.post("/wan-signin"))
    return wire.post(f"/wan-signin/{state}", credential=device.sign(options, **bent))


def test_a_mailed_code_leads_to_the_passkey_and_that_to_a_session(hers, ada, stick, first, language):
    answer = first(hers, ada)
    assert answer.ok
    assert answer.location == ("/wan-signin" if language == "form" else None)
    assert hers.signed_in_as() is None
    if language == "json":
        assert answer.json["tf_required"] is True
        assert (answer.json["tf_method"], answer.json["tf_signin_url"]) == ("webauthn", "/wan-signin")
        assert "tf_primary_method" not in answer.json


def test_the_second_step_makes_two_factors(hers, ada, stick, first):
    first(hers, ada)
    assert step(hers, stick, user_handle=b"").ok
    assert hers.signed_in_as() == ada.email
    home = hers.get("/", headers={"Accept": "application/json"}).json
    assert (home["amr"], home["aal"]) == (["email", "webauthn"], 2)


def test_a_browser_goes_where_it_was_going(browser_wire, ada, stick, add_passkey, first):
    add_passkey(ada, stick, usage="secondary")
    answer = first(browser_wire, ada, next="/sessions")
    assert answer.location == "/wan-signin?next=%2Fsessions"
    page = browser_wire.follow(answer)
    assert page.page.heading == "One more step"
    assert step(browser_wire, stick).location == "/sessions"


def test_it_is_said_to_be_the_second_step_and_names_her_passkeys(json_wire, ada, stick, add_passkey, first):
    add_passkey(ada, stick, usage="secondary")
    first(json_wire, ada)
    assert json_wire.get("/wan-signin").json["is_secondary"] is True
    begun = json_wire.post("/wan-signin").json
    assert begun["is_secondary"] is True
    assert len(begun["credential_options"]["allowCredentials"]) == 1


def test_a_program_without_cookies_hands_back_what_it_was_given(program, ada, stick, add_passkey, mail_to):
    add_passkey(ada, stick, usage="secondary")
    sent = program.post("/us-signin/send-code", identity=ada.email, chosen_method="email").json
    proof = {"identity": ada.email, "passcode": code_in(mail_to(ada.email)), "challenge": sent["challenge"]}
    pending = program.post("/us-signin", **proof).json["pending"]
    begun = program.post("/wan-signin", pending=pending).json
    path = f"/wan-signin/{begun['wan_state']}?include_auth_token"
    answer = program.post(path, credential=stick.sign(begun["credential_options"]), pending=pending)
    program.token = answer.json["user"]["authentication_token"]
    assert program.signed_in_as() == ada.email


def test_somebody_elses_passkey_is_no_second_step(hers, ada, people, add_passkey, first):
    theirs = Device()
    add_passkey(people.open(email="eve@example.com"), theirs)
    first(hers, ada)
    answer = step(hers, theirs)
    assert (answer.status, answer.codes, hers.signed_in_as()) == (400, ["webauthn_mismatch_user_handle"], None)


def test_a_passkey_that_signs_in_alone_takes_the_step_too(hers, ada, device, add_passkey, first):
    add_passkey(ada, device)
    first(hers, ada)
    assert step(hers, device).ok
    assert hers.signed_in_as() == ada.email


def test_the_step_is_taken_once(hers, ada, stick, first, rows):
    from app.sessions.models import AuthSession

    first(hers, ada)
    options, state = asked(hers.post("/wan-signin"))
    signed = stick.sign(options)
    assert hers.post(f"/wan-signin/{state}", credential=signed).ok
    hers.post("/logout")
    before = len(rows(AuthSession))
    assert hers.post(f"/wan-signin/{state}", credential=signed).codes == ["api_error"]
    assert len(rows(AuthSession)) == before


def test_a_ceremony_of_the_first_step_is_none_of_the_second(hers, ada, device, add_passkey, first):
    add_passkey(ada, device)
    options, state = asked(hers.post("/wan-signin"))
    first(hers, ada)
    assert hers.post(f"/wan-signin/{state}", credential=device.sign(options)).codes == ["api_error"]


def test_nor_the_other_way_round(hers, ada, device, add_passkey, first):
    add_passkey(ada, device)
    first(hers, ada)
    options, state = asked(hers.post("/wan-signin"))
    hers.get("/us-signin")  # drops the sign-in under way
    assert hers.post(f"/wan-signin/{state}", credential=device.sign(options)).codes == ["api_error"]
    assert hers.signed_in_as() is None


def test_a_ceremony_belongs_to_its_own_sign_in(hers, ada, stick, first):
    first(hers, ada)
    options, state = asked(hers.post("/wan-signin"))
    first(hers, ada)
    assert hers.post(f"/wan-signin/{state}", credential=stick.sign(options)).codes == ["api_error"]


def test_a_verified_passkey_needs_no_second_step(hers, ada, device, add_passkey, language):
    add_passkey(ada, device)
    answer = step(hers, device)
    assert answer.location == ("/" if language == "form" else None)
    assert hers.signed_in_as() == ada.email


def test_without_a_passkey_for_it_no_second_step_is_asked(hers, ada, device, stick, add_passkey, first):
    add_passkey(ada, device)
    assert sign_in(hers.elsewhere(), ada).post("/wan-delete", name="Passkey").ok
    first(hers, ada)
    assert hers.signed_in_as() == ada.email


def test_a_code_of_an_app_will_do_as_well(app, people, add_passkey, first, stick):
    bob = people.open(email="bob@example.com", methods=["email", "authenticator"])
    add_passkey(bob, stick, usage="secondary")
    browser = Wire(app, "json")
    answer = first(browser, bob)
    assert answer.json["tf_method"] == "webauthn"
    assert browser.post("/us-signin", identity=bob.email, passcode=bob.app_code()).ok


@pytest.mark.one_database
@pytest.mark.settings(passkeys=False)
def test_where_passkeys_are_off_none_is_a_second_step(app):
    from app.login.second_factor import seconds_enabled

    with app.app_context():
        assert "webauthn" not in seconds_enabled()
