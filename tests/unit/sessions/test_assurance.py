"""The strength of verifications, and which combinations are two factors."""

from __future__ import annotations

import pytest

from app.sessions.assurance import is_two_factor, strength_of

pytestmark = pytest.mark.one_database


@pytest.fixture(autouse=True)
def in_app(app):
    """The methods are those of an application."""
    with app.app_context():
        yield


@pytest.mark.parametrize(
    ("amr", "strength"),
    [
        ("", 0),
        ("email", 1),
        ("sms", 1),
        ("password", 1),
        ("confirm", 1),
        ("password,email,sms", 1),
        ("authenticator", 2),
        ("email,authenticator", 2),
        ("webauthn", 2),
        ("webauthn,uv", 3),
        ("email,webauthn,uv", 3),
        ("recovery_code", 3),
        ("uv", 1),
        ("something_new", 1),
    ],
)
def test_strength_of_authentication_methods(amr, strength):
    assert strength_of(amr) == strength_of(amr.split(",")) == strength


@pytest.mark.parametrize(
    ("amr", "two"),
    [
        ("email", False),
        ("email,confirm", False),
        ("authenticator", False),
        ("webauthn", False),
        ("recovery_code", False),
        ("uv", False),
        ("email,uv", False),
        ("webauthn,uv", True),
        ("email,authenticator", True),
        ("password,email", True),
        ("email,recovery_code", True),
        ("authenticator,webauthn", True),
    ],
)
def test_two_factors_need_two_kinds_or_a_user_verifying_passkey(amr, two):
    assert is_two_factor(amr) is two
