"""Trusted devices: they skip the second step for a while, and no other device does."""

from __future__ import annotations

import re

import pytest

from app.audit import Event
from tests.second import PENDING, begin, begin_setup, first_step, prove_setup
from tests.sinks import code_in, denial_in

DAY = 86400
KNOWN = "latchkey_known"


@pytest.fixture
def enter(code_for):
    """Signs Bob in, with the second step if required: ``enter(wire, bob, remember=True)``; returns whether it was."""

    def run(wire, bob, **fields) -> bool:
        begin(wire, bob, code_for)
        asked = PENDING in wire.cookies
        if asked:
            wire.get("/tf-validate")
            assert wire.post("/tf-validate", code=bob.app_code(), **fields).ok
        assert wire.signed_in_as() == bob.email
        return asked

    return run


@pytest.fixture
def trusted(wire, bob, enter, clock):
    """A browser that Bob trusts, signed out a minute later."""
    assert enter(wire, bob, remember=True)
    clock.shift(60)
    wire.post("/logout")
    return wire


def test_trusted_browser_skips_the_second_step(trusted, bob, enter, rows):
    from app.sessions.models import AuthSession

    assert not enter(trusted, bob)
    assert rows(AuthSession)[-1].amr == "email", "it counts as what was proved"


def test_untrusted_browser_always_requires_the_second_step(wire, bob, enter, clock):
    for _ in range(2):
        assert enter(wire, bob)
        wire.post("/logout")
        clock.shift(60)


def test_trust_does_not_extend_to_other_browsers(trusted, bob, enter):
    assert enter(trusted.elsewhere(), bob)


def test_trust_does_not_extend_to_other_accounts(trusted, people, enter):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"], second="authenticator")
    assert enter(trusted, eve)


def copy_of(wire):
    """Return a browser elsewhere with a copy of what this one is known by."""
    other = wire.elsewhere(address="192.0.2.66")
    other.client.set_cookie(KNOWN, wire.cookies[KNOWN])
    return other


@pytest.mark.parametrize("known_before", [True, False])
def test_cookies_copied_before_trust_still_require_the_second_step(
    wire, bob, people, enter, clock, rows, sign_in, code_for, known_before
):
    sign_in(people.open(email="eve@example.com").email)
    wire.post("/logout")
    if known_before:
        enter(wire, bob)
        wire.post("/logout")
        clock.shift(60)
    copies = [copy_of(wire)]
    first_step(wire, bob, code_for)
    copies.append(copy_of(wire))
    assert wire.post("/tf-validate", code=bob.app_code(), remember=True).ok
    wire.post("/logout")
    for copy in copies:
        clock.shift(60)
        assert enter(copy, bob)
        assert rows(Event, name="sign_in.succeeded")[-1].facts["browser"] == "new"
    clock.shift(60)
    assert not enter(wire, bob), "and the browser itself is not"


def test_sign_in_of_another_account_keeps_the_browser_trusted(trusted, bob, people, enter, sign_in, clock):
    sign_in(people.open(email="eve@example.com").email, by=trusted)
    trusted.post("/logout")
    clock.shift(60)
    assert not enter(trusted, bob)


@pytest.mark.parametrize(("age", "asked"), [(30 * DAY - 120, False), (30 * DAY + 1, True)])
def test_trust_expires_after_thirty_days(trusted, bob, enter, clock, age, asked):
    clock.shift(age)
    assert enter(trusted, bob) is asked


@pytest.mark.settings(trust_for=0)
def test_zero_trust_for_setting_disables_trusted_browsers(wire, bob, enter, clock, code_for):
    assert enter(wire, bob, remember=True)
    wire.post("/logout")
    clock.shift(60)
    first_step(wire, bob, code_for)
    assert "Don't ask again" not in wire.get("/tf-validate").text


def test_trust_is_listed_and_can_be_revoked(trusted, bob, enter, clock):
    enter(trusted, bob)
    told = trusted.get("/sessions")
    if trusted.language == "json":
        (browser,) = told.json["known_browsers"]
        assert browser["trusted_until"]
        path = f"/known-browsers/{browser['id']}/ask-again"
    else:
        assert "no second step until" in told.text
        path = re.search(r'formaction="(/known-browsers/\w+/ask-again)"', told.text)[1]
    assert trusted.post(path).ok
    assert trusted.post(path).status == 404
    trusted.post("/logout")
    clock.shift(60)
    assert enter(trusted, bob)


def test_trust_cannot_be_revoked_by_another_user(trusted, bob, enter, people, clock):
    enter(trusted, bob)
    path = f"/known-browsers/{_row(trusted)}/ask-again"
    from tests.signed_in import sign_in

    assert sign_in(trusted.elsewhere(), people.open()).post(path).status == 404


def test_forgetting_the_known_browser_revokes_trust(trusted, bob, enter, clock):
    enter(trusted, bob)
    assert trusted.post(f"/known-browsers/{_row(trusted)}/forget").ok
    trusted.post("/logout")
    clock.shift(60)
    assert enter(trusted, bob)


def test_ending_other_sessions_revokes_trust_of_other_browsers(trusted, bob, enter, clock):
    other = trusted.elsewhere()
    enter(other, bob)
    assert other.post("/sessions/end-others").ok
    clock.shift(60)
    assert enter(trusted, bob)


@pytest.mark.parametrize("change", ["new key", "off and on"])
def test_changing_the_second_factor_revokes_trust_in_the_same_browser(json_wire, bob, enter, code_for, clock, change):
    from tests.functional.setup.conftest import app_code, key_in, state_in

    assert enter(json_wire, bob, remember=True)
    if change == "new key":
        begun = json_wire.post("/us-setup", chosen_method="authenticator")
        key = key_in(begun)
        assert json_wire.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key)).ok
    else:
        assert json_wire.post("/tf-setup", setup="disable").ok
        clock.shift(31)
        begun = begin_setup(json_wire, setup="authenticator", existing=True)
        assert prove_setup(json_wire, begun, bob.app_code()).ok
    json_wire.post("/logout")
    clock.shift(60)
    first_step(json_wire, bob, code_for)


@pytest.mark.settings(denied_penalty=0)
def test_not_me_report_revokes_trust(trusted, bob, enter, clock, smtp):
    enter(trusted, bob)
    other = trusted.elsewhere()
    denial = denial_in(smtp.to(bob.email)[-1]).removeprefix("http://localhost")
    other.get(denial)
    assert other.post(denial, sure=True).ok
    clock.shift(700)
    assert enter(trusted, bob)


@pytest.mark.both_databases
def test_api_client_skips_the_second_step_with_its_validity_token(program, bob, mail_to, clock, rows):
    from app.sessions.models import KnownDevice

    def first(**more):
        sent = program.post("/us-signin/send-code", identity=bob.email, chosen_method="email").json
        code = code_in(mail_to(bob.email))
        return program.post("/us-signin", identity=bob.email, passcode=code, challenge=sent["challenge"], **more)

    told = first().json
    done = program.post("/tf-validate", code=bob.app_code(), pending=told["pending"], remember=True).json
    token = done["tf_validity_token"]
    assert token not in repr([vars(row) for row in rows(KnownDevice)])
    clock.shift(60)
    assert first(tf_validity_token=token).json["tf_required"] is False
    clock.shift(60)
    assert first(tf_validity_token=token[::-1]).json["tf_required"] is True
    clock.shift(30 * DAY)
    assert first(tf_validity_token=token).json["tf_required"] is True


def test_browser_gets_no_validity_token(json_wire, bob, code_for):
    first_step(json_wire, bob, code_for)
    assert "tf_validity_token" not in json_wire.post("/tf-validate", code=bob.app_code(), remember=True).json


def test_magic_link_in_a_trusted_browser_skips_the_second_step(trusted, bob, link_for):
    answer = trusted.get(link_for(bob.email))
    assert answer.location == "/"
    assert trusted.signed_in_as() == bob.email


def _row(wire) -> str:
    """Return the id of the browser that asks, in the list of those that are known."""
    headers = {"Accept": "application/json", "User-Agent": wire.agent}
    listed = wire.client.get("/sessions", headers=headers).get_json()["response"]["known_browsers"]
    return next(each["id"] for each in listed if each["current"])


def keep_signed_in(wire, bob, code_for) -> None:
    """Complete the first step, and check the box for trusting this device."""
    code = code_for(bob.email, by=wire)
    assert wire.post("/us-signin", identity=bob.email, passcode=code, remember=True).ok
    wire.get("/tf-validate")


def test_remember_at_the_first_step_trusts_the_browser(wire, bob, code_for, enter, clock):
    keep_signed_in(wire, bob, code_for)
    assert wire.post("/tf-validate", code=bob.app_code()).ok
    clock.shift(60)
    wire.post("/logout")
    assert not enter(wire, bob)


def test_second_step_page_prechecks_trust_and_allows_opting_out(browser_wire, bob, code_for, enter, clock):
    keep_signed_in(browser_wire, bob, code_for)
    page = browser_wire.get("/tf-validate").page
    assert "checked" in page.attributes("remember")
    shown = page.value("remember_shown")
    assert browser_wire.post("/tf-validate", code=bob.app_code(), remember_shown=shown).ok
    clock.shift(60)
    browser_wire.post("/logout")
    assert enter(browser_wire, bob), "the tick was taken away"


@pytest.mark.one_database
def test_json_remember_false_at_the_second_step_overrides_the_first(json_wire, bob, code_for, enter, clock):
    keep_signed_in(json_wire, bob, code_for)
    assert json_wire.post("/tf-validate", code=bob.app_code(), remember=False).ok
    clock.shift(60)
    json_wire.post("/logout")
    assert enter(json_wire, bob)


@pytest.mark.one_database
def test_remember_at_the_first_step_gives_api_client_a_validity_token(program, bob, mail_to):
    challenge = program.post("/us-signin/send-code", identity=bob.email, chosen_method="email").json["challenge"]
    passcode = code_in(mail_to(bob.email))
    first = program.post("/us-signin", identity=bob.email, passcode=passcode, challenge=challenge, remember=True)
    answer = program.post("/tf-validate", code=bob.app_code(), pending=first.json["pending"])
    assert answer.json["tf_validity_token"]
