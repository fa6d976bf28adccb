"""/wan-signin: signing in with a passkey and nothing else."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.authenticators import PRESENT, Device
from tests.functional.passkeys.conftest import asked, sign_in
from tests.wire import Program


@pytest.fixture
def hers(wire, ada, device, add_passkey):
    """Ada's browser, then her program; her phone has a passkey, and nobody is signed in."""
    add_passkey(ada, device)
    return wire


def enter(wire, device, **more):
    """Sign in with a passkey; return the answer."""
    options, state = asked(wire.post("/wan-signin"))
    return wire.post(f"/wan-signin/{state}", credential=device.sign(options), **more)


def test_a_passkey_signs_in_without_a_name(hers, ada, device, language):
    answer = enter(hers, device)
    assert answer.ok
    assert answer.location == ("/" if language == "form" else None)
    assert hers.signed_in_as() == ada.email
    if language == "json":
        assert (answer.json["tf_required"], answer.json["post_login_url"]) == (False, "/")


def test_with_verification_it_counts_as_two_factors(hers, device):
    enter(hers, device)
    home = hers.get("/", headers={"Accept": "application/json"}).json
    assert (home["amr"], home["aal"]) == (["webauthn", "uv"], 2)


@pytest.mark.settings(passkey_user_verification="preferred")
def test_without_verification_it_counts_as_one(wire, ada, add_passkey):
    stick = Device(flags=PRESENT)
    add_passkey(ada, stick)
    assert enter(wire, stick).ok
    home = wire.get("/", headers={"Accept": "application/json"}).json
    assert (home["amr"], home["aal"]) == (["webauthn"], 1)


def test_that_it_was_used_is_noted(hers, ada, device, rows):
    from app.audit import Event
    from app.authenticators.models import Passkey

    enter(hers, device)
    (key,) = rows(Passkey)
    assert key.last_used_at is not None
    event = rows(Event, name="sign_in.succeeded")[-1]
    assert event.user_id == ada.id
    assert "Passkey" in hers.get("/activity").text or hers.language == "json"


def test_a_program_without_cookies_hands_the_state_back(hers, program, ada, device):
    begun = program.post("/wan-signin")
    signed = device.sign(begun.json["credential_options"])
    answer = program.post(f"/wan-signin/{begun.json['wan_state']}?include_auth_token", credential=json.loads(signed))
    program.token = answer.json["user"]["authentication_token"]
    assert program.signed_in_as() == ada.email


def test_it_is_remembered_when_asked(hers, device):
    enter(hers, device, remember=True)
    cookie = next(cookie for cookie in hers.client._cookies.values() if cookie.key == "latchkey_session")
    assert cookie.max_age


def test_it_leads_where_one_was_going(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device)
    assert enter(browser_wire, device, next="/sessions").location == "/sessions"
    assert enter(browser_wire.elsewhere(), device, next="https://evil.example").status == 400


def test_the_options_name_nobody(json_wire, people, ada, add_passkey):
    add_passkey(ada, Device())
    names = [person.email for person in (ada, people.open(), people.open(disabled=True))] + ["nobody@example.com", "<"]
    answers = [json_wire.post("/wan-signin", identity=name) for name in names * 2]
    told = [{**answer.json["credential_options"], "challenge": ""} for answer in answers]
    assert all(each == told[0] for each in told)
    assert told[0]["allowCredentials"] == []
    assert len({answer.json["credential_options"]["challenge"] for answer in answers}) == len(answers)


def test_asking_costs_the_same_for_everybody(json_wire, ada, add_passkey, statements):
    add_passkey(ada, Device())
    json_wire.fetch_csrf()
    seen = []
    for name in (ada.email, "nobody@example.com"):
        with statements() as these:
            json_wire.post("/wan-signin", identity=name)
        seen.append([statement[:40] for statement in these])
    assert seen[0] == seen[1]
    assert len(seen[0]) == 1


def test_signing_in_takes_six_statements(hers, device, statements):
    enter(hers, device)
    again = hers.elsewhere()
    options, state = asked(again.post("/wan-signin"))
    with statements() as seen:
        assert again.post(f"/wan-signin/{state}", credential=device.sign(options)).ok
    assert len(seen) <= 6


def test_an_answer_is_good_once(hers, device, rows):
    from app.sessions.models import AuthSession

    options, state = asked(hers.post("/wan-signin"))
    signed = device.sign(options)
    assert hers.post(f"/wan-signin/{state}", credential=signed).ok
    hers.post("/logout")
    before = len(rows(AuthSession))
    answer = hers.post(f"/wan-signin/{state}", credential=signed)
    assert (answer.status, answer.codes, len(rows(AuthSession))) == (400, ["api_error"], before)


def test_of_two_at_once_one_gets_a_session(app, ada, device, add_passkey, rows):
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


def test_it_takes_five_minutes_and_no_longer(hers, device, clock):
    options, state = asked(hers.post("/wan-signin"))
    clock.shift(301)
    answer = hers.post(f"/wan-signin/{state}", credential=device.sign(options))
    assert (answer.status, answer.codes) == (400, ["webauthn_expired"])


def test_a_ceremony_is_its_browsers_own(hers, device):
    hers.fetch_csrf()
    options, state = asked(hers.post("/wan-signin"))
    elsewhere = hers.elsewhere()
    elsewhere.fetch_csrf()
    answer = elsewhere.post(f"/wan-signin/{state}", credential=device.sign(options))
    assert (answer.status, answer.codes) == (400, ["api_error"])
    assert elsewhere.signed_in_as() is None


def test_a_passkey_for_the_second_step_does_not_sign_in_alone(wire, ada, add_passkey):
    stick = Device()
    add_passkey(ada, stick, usage="secondary")
    answer = enter(wire, stick)
    assert (answer.status, answer.codes) == (400, ["webauthn_credential_wrong_usage"])


def test_a_removed_passkey_is_unknown(hers, ada, device):
    browser = sign_in(hers.elsewhere(), ada)
    assert browser.post("/wan-delete", name="Passkey").ok
    answer = enter(hers, device)
    assert (answer.status, answer.codes) == (400, ["webauthn_unknown_credential_id"])


@pytest.mark.parametrize(
    ("change", "code"), [("disabled_at", "disabled_account"), ("confirmed_at", "confirmation_required")]
)
def test_who_may_not_sign_in_is_told_once_it_is_proved_who_they_are(hers, ada, device, app, change, code):
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


def test_a_spent_guess_budget_does_not_stop_it(hers, ada, device):
    stranger = hers.elsewhere(address="192.0.2.7")
    for _ in range(12):
        stranger.post("/us-signin", identity=ada.email, passcode="00000000")
    assert enter(hers, device).ok
    assert hers.signed_in_as() == ada.email


@pytest.mark.one_database
def test_who_is_signed_in_is_told_so(wire, ada, language):
    sign_in(wire, ada)
    for answer in (wire.get("/wan-signin"), wire.post("/wan-signin"), wire.post("/wan-signin/x", credential="{}")):
        assert answer.location == ("/" if language == "form" else None)
        assert answer.codes == ([] if language == "form" else ["anonymous_user_required"])


@pytest.mark.one_database
def test_the_page_says_what_it_is_for(wire, language):
    answer = wire.get("/wan-signin")
    assert answer.ok
    assert language == "form" or answer.json["is_secondary"] is False


@pytest.mark.one_database
@pytest.mark.settings(passkey_starts_per_address=3)
def test_asking_is_limited_by_address_and_apart_from_codes(wire, ada, smtp):
    for _ in range(3):
        assert wire.post("/wan-signin").ok
    answer = wire.post("/wan-signin")
    assert (answer.status, answer.codes) == (429, ["too_many_requests"])
    assert wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email").ok


@pytest.mark.one_database
@pytest.mark.settings(passkeys=False)
def test_where_passkeys_are_off_none_signs_in(wire):
    assert wire.post("/wan-signin").codes == ["us_method_not_available"]
    assert wire.post("/wan-signin/x", credential="{}").codes == ["us_method_not_available"]


@pytest.mark.one_database
def test_old_ceremonies_are_forgotten(app, wire, clock, rows):
    from app.authenticators.cleanup import prune_webauthn_challenges
    from app.authenticators.models import WebauthnChallenge

    wire.post("/wan-signin")
    clock.shift(601)
    wire.post("/wan-signin")
    with app.app_context():
        assert prune_webauthn_challenges() == 1
    assert len(rows(WebauthnChallenge)) == 1
