"""Authenticator app, second step and recovery codes are set up in one flow, with one code."""

from __future__ import annotations

import re

import pytest

from app.enrollments.models import Enrollment
from tests.authenticators import Device
from tests.functional.passkeys.conftest import asked
from tests.functional.setup.conftest import PHONE, app_code, key_in
from tests.signed_in import sign_in


@pytest.fixture
def hers(browser_wire, people):
    """Ada's browser, signed in by email, her only method."""
    return sign_in(browser_wire, people.open(email="ada@example.com"))


def test_app_setup_as_second_step_needs_one_code_and_opens_recovery_codes(hers, rows):
    page = hers.get("/us-setup").page
    assert ("setup", "authenticator") in [(name, attributes.get("value")) for name, attributes in page.inputs]
    begun = hers.post("/tf-setup", setup="authenticator")
    key = key_in(begun)
    assert key, "the page can be opened again"
    done = hers.post(begun.location, code=app_code(key))
    assert (done.status, done.location) == (302, "/mf-recovery-codes")
    (app,) = rows(Enrollment, method="authenticator")
    assert app.is_second
    assert hers.get(done.location).page.heading == "Recovery codes"
    made = hers.post("/mf-recovery-codes")
    assert len(re.findall(r"<li><code>", made.text)) == 10, "and asks for no other proof"


def test_app_can_be_set_up_as_sign_in_method_without_second_step(hers, rows):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    assert hers.post(begun.location, passcode=app_code(key_in(begun))).location == "/mf-recovery-codes"
    assert [row.is_second for row in rows(Enrollment, method="authenticator")] == [False]


def test_recovery_codes_are_offered_once(hers, people, rows):
    begun = hers.post("/us-setup", chosen_method="authenticator")
    assert hers.post(begun.location, passcode=app_code(key_in(begun))).location == "/mf-recovery-codes"
    assert hers.post("/mf-recovery-codes").ok
    again = hers.post("/us-setup", chosen_method="authenticator")
    assert hers.post(again.location, passcode=app_code(key_in(again))).location == "/us-setup"


def test_next_strong_method_does_not_redirect_to_skipped_recovery_codes(browser_wire, people):
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"])
    hers = sign_in(browser_wire, ada)
    assert added_passkey(hers) == "/wan-register"


def test_recovery_codes_are_offered_after_the_first_passkey_only(browser_wire, people):
    hers = sign_in(browser_wire, people.open(email="ada@example.com"))
    assert added_passkey(hers) == "/mf-recovery-codes"
    assert added_passkey(hers) == "/wan-register"


def added_passkey(browser) -> str:
    """Add a passkey, and return the page that the browser is led to."""
    options, state = asked(browser.post("/wan-register", usage="first"))
    return browser.post(f"/wan-register/{state}", credential=Device().make(options)).location


def test_second_app_does_not_redirect_to_recovery_codes(hers):
    for page in ("/mf-recovery-codes", "/us-setup"):
        begun = hers.post("/us-setup", chosen_method="authenticator")
        assert hers.post(begun.location, passcode=app_code(key_in(begun))).location == page


@pytest.mark.settings(second_factor="off")
def test_app_is_offered_as_sign_in_method_when_second_step_is_disabled(hers):
    values = [(name, attributes.get("value")) for name, attributes in hers.get("/us-setup").page.inputs]
    assert ("chosen_method", "authenticator") in values
    assert ("setup", "authenticator") not in values


def test_sms_setup_does_not_redirect_to_recovery_codes(hers, text_to):
    from tests.sinks import code_in

    begun = hers.post("/us-setup", chosen_method="sms", phone=PHONE)
    assert hers.post(begun.location, passcode=code_in(text_to(PHONE))).location == "/us-setup"
