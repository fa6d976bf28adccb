"""A new authenticator is one module (``codeword.py``) and one line in the registry."""

from __future__ import annotations

import pytest

from app.authenticators import registry
from app.enrollments.models import Enrollment
from tests.functional.signin.codeword import Codeword, codeword_of
from tests.signed_in import sign_in

pytestmark = pytest.mark.one_database


@pytest.fixture
def app(make_app, clock, monkeypatch):
    monkeypatch.setattr(registry, "AUTHENTICATORS", [*registry.AUTHENTICATORS, Codeword()])  # the line
    monkeypatch.setattr("tests.openapi.document", dict)  # openapi.yaml names the methods of this release
    return make_app(methods=("email", "password", "codeword"))


@pytest.fixture
def word(app, json_wire, ada) -> str:
    """Ada's codeword, which she has just set up; she is signed out again."""
    wire = sign_in(json_wire, ada)
    begun = wire.post("/us-setup", chosen_method="codeword").json
    typed = codeword_of(begun["authr_b32key"])
    assert wire.post(f"/us-setup/{begun['state']}", passcode="word-guessed").codes == ["invalid_password_code"]
    assert wire.post(f"/us-setup/{begun['state']}", passcode=typed).ok
    assert wire.get("/us-setup").json["active_methods"] == ["email", "codeword"]
    wire.post("/logout")
    return typed


def test_custom_authenticator_can_be_enrolled_and_used_to_sign_in(wire, ada, word, rows):
    assert [row.method for row in rows(Enrollment, user_id=ada.id)].count("codeword") == 1
    answer = wire.post("/us-signin", identity="ada@example.com", passcode=word)
    assert answer.ok
    assert wire.signed_in_as() == "ada@example.com"


def test_wrong_attempts_at_a_custom_authenticator_are_rejected_and_rate_limited(wire, ada, word, rows):
    for _ in range(10):
        assert wire.post("/us-signin", identity="ada@example.com", passcode="word-guessed").codes == [
            "generic_authn_failed"
        ]
    assert wire.post("/us-signin", identity="ada@example.com", passcode=word).codes == ["generic_authn_failed"]


def test_custom_authenticator_reauthenticates_and_can_be_removed(json_wire, ada, word, rows):
    assert json_wire.post("/us-signin", identity="ada@example.com", passcode=word).ok
    assert json_wire.post("/us-verify", passcode=word).ok
    assert json_wire.post("/us-setup", delete_method="codeword").ok
    assert "codeword" not in [row.method for row in rows(Enrollment, user_id=ada.id)]


def test_custom_authenticator_is_listed_on_the_setup_page(browser_wire, ada, word):
    browser_wire.post("/us-signin", identity="ada@example.com", passcode=word)
    assert "Codeword" in browser_wire.get("/us-setup").text
