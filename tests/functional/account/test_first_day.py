"""A method added with a weaker one counts as an email code for a day (the cooldown)."""

from __future__ import annotations

import pytest

from tests.authenticators import Device
from tests.functional.passkeys.conftest import asked
from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.signed_in import may_change, sign_in
from tests.wire import Wire

DAY = 24 * 3600


@pytest.fixture
def lax(make_app):
    """The service with LATCHKEY_FRESHNESS_STRENGTH=any."""
    return make_app(freshness_strength="any")


@pytest.fixture
def ada(people):
    """Someone with an authenticator app."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


def add_passkey(app, ada, via: str) -> None:
    """Add a passkey from a session that was verified ``via`` this method."""
    browser = sign_in(Wire(app, "json"), ada, via=via)
    options, state = asked(browser.post("/wan-register", usage="first", name="New"))
    assert browser.post(f"/wan-register/{state}", credential=Device().make(options)).ok


def can_change_methods(wire, ada, via: str) -> bool:
    """Return whether a session that was verified ``via`` this method can change sign-in methods."""
    return may_change(sign_in(wire, ada, via=via))


def test_method_in_cooldown_authorizes_no_changes_and_does_not_outrank_others(app, lax, wire, ada):
    add_passkey(lax, ada, via="email")
    assert not can_change_methods(wire, ada, via="webauthn,uv")
    assert can_change_methods(wire, ada, via="authenticator")
    assert wire.post("/wan-delete", name="New").ok


@pytest.mark.parametrize(("age", "counts"), [(DAY - 1, False), (DAY + 1, True)])
def test_new_method_counts_at_full_strength_only_after_the_cooldown(app, lax, wire, ada, clock, age, counts):
    add_passkey(lax, ada, via="email")
    clock.shift(age)
    assert can_change_methods(wire, ada, via="webauthn,uv") is counts
    assert can_change_methods(wire, ada, via="authenticator") is not counts


def test_method_in_cooldown_cannot_remove_a_stronger_method(app, lax, wire, ada, rows):
    from app.enrollments.models import Enrollment

    add_passkey(lax, ada, via="email")
    sign_in(wire, ada, via="webauthn,uv").post("/us-setup", delete_method="authenticator")
    assert rows(Enrollment, method="authenticator") != []


def test_second_authenticator_app_has_a_cooldown_and_the_first_still_counts(app, lax, wire, ada, clock):
    browser = sign_in(Wire(lax, "json"), ada, via="email")
    begun = browser.post("/us-setup", chosen_method="authenticator")
    key = key_in(begun)
    assert browser.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key)).ok
    hers = sign_in(Wire(app, "json"), ada, via="email")
    assert hers.get("/us-verify").json["reauth_methods"] == ["authenticator"]
    assert hers.post("/us-verify", passcode=app_code(key, 1)).ok
    assert not may_change(hers), "it was the new app"
    assert hers.post("/us-verify", passcode=ada.app_code()).ok
    assert may_change(hers)
    clock.shift(DAY + 1)
    hers = sign_in(Wire(app, "json"), ada, via="email")
    assert hers.post("/us-verify", passcode=app_code(key)).ok
    assert may_change(hers)


def test_enabling_second_step_with_weak_proof_does_not_strengthen_the_session(app, lax, ada):
    browser = sign_in(Wire(lax, "json"), ada, via="email")
    begun = browser.post("/tf-setup", setup="authenticator").json
    assert browser.post(f"/tf-setup/{begun['tf_state_token']}", code=app_code(begun["tf_authr_b32key"])).ok
    strict = Wire(app, "json")
    strict.client.set_cookie("latchkey_session", browser.cookies["latchkey_session"])
    assert not may_change(strict)


@pytest.mark.parametrize("via", ["authenticator", "webauthn,uv", "recovery_code", "email,authenticator"])
def test_method_added_with_strong_proof_has_no_cooldown(app, lax, wire, ada, via):
    add_passkey(lax, ada, via=via)
    assert can_change_methods(wire, ada, via="webauthn,uv")


def test_method_added_to_account_without_a_stronger_one_has_no_cooldown(app, wire, people):
    bob = people.open(email="bob@example.com")
    add_passkey(app, bob, via="email")
    assert can_change_methods(wire, bob, via="webauthn,uv")
    assert not can_change_methods(wire, bob, via="email")


@pytest.mark.parametrize("wait", [0, 60])
def test_cooldown_of_new_methods_is_configurable(make_app, wire, ada, clock, wait):
    add_passkey(make_app(freshness_strength="any", new_method_wait=wait), ada, via="email")
    clock.shift(wait + 1)
    assert can_change_methods(wire, ada, via="webauthn,uv")
