"""/wan-signin: signing in with only a passkey."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.authenticators import PRESENT, Device
from tests.functional.passkeys.conftest import asked, sign_in
from tests.wire import Program


@pytest.fixture
def hers(wire, ada, device, add_passkey):
    """Ada's browser, then her API client; her phone has a passkey, and nobody is signed in."""
    add_passkey(ada, device)
    return wire


def enter(wire, device, **more):
    """Sign in with a passkey; return the answer."""
    options, state = asked(wire.post("/wan-signin"))
    return wire.post(f"/wan-signin/{state}", credential=device.sign(options), **more)


def test_passkey_signs_in_without_an_identity(hers, ada, device, language):
    answer = enter(hers, device)
    assert answer.ok
    assert answer.location == ("/" if language == "form" else None)
    assert hers.signed_in_as() == ada.email
    if language == "json":
        assert (answer.json["tf_required"], answer.json["post_login_url"]) == (False, "/")


def test_user_verified_passkey_reaches_aal2(hers, device):
    enter(hers, device)
    home = hers.get("/", headers={"Accept": "application/json"}).json
    assert (home["amr"], home["aal"]) == (["webauthn", "uv"], 2)


@pytest.mark.settings(passkey_user_verification="preferred")
def test_passkey_without_user_verification_reaches_aal1(wire, ada, add_passkey):
    stick = Device(flags=PRESENT)
    add_passkey(ada, stick)
    assert enter(wire, stick).ok
    home = wire.get("/", headers={"Accept": "application/json"}).json
    assert (home["amr"], home["aal"]) == (["webauthn"], 1)


def test_passkey_sign_in_is_audited_and_updates_last_used(hers, ada, device, rows):
    from app.audit import Event
    from app.authenticators.models import Passkey

    enter(hers, device)
    (key,) = rows(Passkey)
    assert key.last_used_at is not None
    event = rows(Event, name="sign_in.succeeded")[-1]
    assert event.user_id == ada.id
    assert "Passkey" in hers.get("/activity").text or hers.language == "json"


def test_api_client_without_cookies_signs_in_with_the_state(hers, program, ada, device):
    begun = program.post("/wan-signin")
    signed = device.sign(begun.json["credential_options"])
    answer = program.post(f"/wan-signin/{begun.json['wan_state']}?include_auth_token", credential=json.loads(signed))
    program.token = answer.json["user"]["authentication_token"]
    assert program.signed_in_as() == ada.email


def test_remember_makes_the_session_cookie_persistent(hers, device):
    enter(hers, device, remember=True)
    cookie = next(cookie for cookie in hers.client._cookies.values() if cookie.key == "latchkey_session")
    assert cookie.max_age


def test_sign_in_redirects_to_next_on_this_site_only(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device)
    assert enter(browser_wire, device, next="/sessions").location == "/sessions"
    assert enter(browser_wire.elsewhere(), device, next="https://evil.example").status == 400


def test_options_do_not_reveal_whether_an_account_exists(json_wire, people, ada, add_passkey):
    add_passkey(ada, Device())
    names = [person.email for person in (ada, people.open(), people.open(disabled=True))] + ["nobody@example.com", "<"]
    answers = [json_wire.post("/wan-signin", identity=name) for name in names * 2]
    told = [{**answer.json["credential_options"], "challenge": ""} for answer in answers]
    assert all(each == told[0] for each in told)
    assert told[0]["allowCredentials"] == []
    assert len({answer.json["credential_options"]["challenge"] for answer in answers}) == len(answers)


@pytest.mark.both_databases
def test_options_take_one_statement_for_known_and_unknown_identities(json_wire, ada, add_passkey, statements):
    add_passkey(ada, Device())
    json_wire.fetch_csrf()
    seen = []
    for name in (ada.email, "nobody@example.com"):
        with statements() as these:
            json_wire.post("/wan-signin", identity=name)
        seen.append([statement[:40] for statement in these])
    assert seen[0] == seen[1]
    assert len(seen[0]) == 1


def test_sign_in_takes_at_most_six_statements(hers, device, statements):
    enter(hers, device)
    again = hers.elsewhere()
    options, state = asked(again.post("/wan-signin"))
    with statements() as seen:
        assert again.post(f"/wan-signin/{state}", credential=device.sign(options)).ok
    assert len(seen) <= 6


def test_assertion_can_be_used_only_once(hers, device, rows):
    from app.sessions.models import AuthSession

    options, state = asked(hers.post("/wan-signin"))
    signed = device.sign(options)
    assert hers.post(f"/wan-signin/{state}", credential=signed).ok
    hers.post("/logout")
    before = len(rows(AuthSession))
    answer = hers.post(f"/wan-signin/{state}", credential=signed)
    assert (answer.status, answer.codes, len(rows(AuthSession))) == (400, ["api_error"], before)


@pytest.mark.both_databases
def test_concurrent_use_of_one_assertion_creates_one_session(app, ada, device, add_passkey, rows):
    from app.sessions.models import AuthSession

    add_passkey(ada, device)
    before = len(rows(AuthSession))
    begun = Program(app).post("/wan-signin").json
    signed = device.sign(begun["credential_options"])
    with ThreadPoolExecutor(2) as pool:
        path = f"/wan-signin/{begun['wan_state']}"
        answers = list(pool.map(lambda one: one.post(path, credential=signed), [Program(app), Program(app)]))
    assert sorted(answer.status for answer in answers) == [200, 400]
    assert len(rows(AuthSession)) == before + 1


def test_ceremony_expires_after_five_minutes(hers, device, clock):
    options, state = asked(hers.post("/wan-signin"))
    clock.shift(301)
    answer = hers.post(f"/wan-signin/{state}", credential=device.sign(options))
    assert (answer.status, answer.codes) == (400, ["webauthn_expired"])


def test_ceremony_of_another_browser_is_rejected(hers, device):
    hers.fetch_csrf()
    options, state = asked(hers.post("/wan-signin"))
    elsewhere = hers.elsewhere()
    elsewhere.fetch_csrf()
    answer = elsewhere.post(f"/wan-signin/{state}", credential=device.sign(options))
    assert (answer.status, answer.codes) == (400, ["api_error"])
    assert elsewhere.signed_in_as() is None


def test_second_factor_passkey_cannot_sign_in_alone(wire, ada, add_passkey):
    stick = Device()
    add_passkey(ada, stick, usage="secondary")
    answer = enter(wire, stick)
    assert (answer.status, answer.codes) == (400, ["webauthn_credential_wrong_usage"])


def test_deleted_passkey_is_rejected_as_unknown(hers, ada, device):
    browser = sign_in(hers.elsewhere(), ada)
    assert browser.post("/wan-delete", name="Passkey").ok
    answer = enter(hers, device)
    assert (answer.status, answer.codes) == (400, ["webauthn_unknown_credential_id"])


@pytest.mark.parametrize(
    ("change", "code"), [("disabled_at", "disabled_account"), ("confirmed_at", "confirmation_required")]
)
def test_disabled_or_unconfirmed_account_is_reported_only_after_a_valid_signature(hers, ada, device, app, change, code):
    from app import clock
    from app.extensions import db
    from app.users import User

    with app.app_context():
        setattr(db.session.get(User, ada.id), change, clock.now() if change == "disabled_at" else None)
        db.session.commit()
    answer = enter(hers, device)
    assert (answer.status, answer.codes) == (400, [code])
    options, state = asked(hers.post("/wan-signin"))
    wrong = hers.post(f"/wan-signin/{state}", credential=device.sign(options, signature=b"x" * 70))
    assert wrong.codes == ["webauthn_wrong_signature"]
    assert hers.signed_in_as() is None


def test_passkey_sign_in_works_despite_rate_limited_codes(hers, ada, device):
    stranger = hers.elsewhere(address="192.0.2.7")
    for _ in range(12):
        stranger.post("/us-signin", identity=ada.email, passcode="00000000")
    assert enter(hers, device).ok
    assert hers.signed_in_as() == ada.email


@pytest.mark.one_database
def test_signed_in_user_cannot_start_another_sign_in(wire, ada, language):
    sign_in(wire, ada)
    for answer in (wire.get("/wan-signin"), wire.post("/wan-signin"), wire.post("/wan-signin/x", credential="{}")):
        assert answer.location == ("/" if language == "form" else None)
        assert answer.codes == ([] if language == "form" else ["anonymous_user_required"])


@pytest.mark.one_database
def test_page_reports_a_primary_sign_in(wire, language):
    answer = wire.get("/wan-signin")
    assert answer.ok
    assert language == "form" or answer.json["is_secondary"] is False


@pytest.mark.one_database
@pytest.mark.settings(passkey_starts_per_address=3)
def test_options_are_rate_limited_per_ip_address_separately_from_codes(wire, ada, smtp):
    for _ in range(3):
        assert wire.post("/wan-signin").ok
    answer = wire.post("/wan-signin")
    assert (answer.status, answer.codes) == (429, ["too_many_requests"])
    assert wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email").ok


@pytest.mark.one_database
@pytest.mark.settings(passkeys=False)
def test_sign_in_is_rejected_when_passkeys_are_disabled(wire):
    assert wire.post("/wan-signin").codes == ["us_method_not_available"]
    assert wire.post("/wan-signin/x", credential="{}").codes == ["us_method_not_available"]


@pytest.mark.one_database
def test_expired_ceremonies_are_pruned(app, wire, clock, rows):
    from app.authenticators.models import WebauthnChallenge
    from app.authenticators.webauthn.challenges import prune_webauthn_challenges

    wire.post("/wan-signin")
    clock.shift(601)
    wire.post("/wan-signin")
    with app.app_context():
        assert prune_webauthn_challenges() == 1
    assert len(rows(WebauthnChallenge)) == 1
