"""``Authorization: Bearer`` works like ``Authentication-Token`` (RFC 6750)."""

from __future__ import annotations

import pytest

from tests.signed_in import give_token

pytestmark = pytest.mark.one_database


@pytest.fixture
def ada(people):
    """Someone who signs in by email."""
    return people.open(email="ada@example.com")


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries ``token``."""
    return {"Authorization": f"Bearer {token}"}


def test_bearer_header_accepts_an_access_token_until_logout(program, ada):
    token = give_token(program, ada).token
    program.token = None
    assert program.get("/", **bearer(token)).json["user"]["email"] == ada.email
    assert program.post("/us-setup", headers=bearer(token), chosen_method="authenticator").ok
    assert program.post("/logout", headers=bearer(token)).ok
    assert program.get("/", **bearer(token)).status == 401


@pytest.mark.settings(personal_tokens=5)
def test_bearer_header_limits_a_personal_token_to_its_scopes(program, ada):
    token = give_token(program, ada).token
    made = program.post("/tokens", name="Backup", scopes=["read"], expires_in_days=9).json["token"]
    program.token = None
    assert program.get("/sessions", **bearer(made)).ok
    assert program.post("/sessions/end-others", headers=bearer(made)).codes == ["scope_missing"]
    assert program.get("/us-setup", **bearer(made)).codes == ["token_not_accepted"]
    assert program.get("/sessions", **bearer(token)).ok


def test_authentication_token_header_takes_precedence_over_bearer(program, people, ada):
    eve = people.open(email="eve@example.com")
    hers = give_token(program, eve).token
    give_token(program, ada)
    assert program.get("/", **bearer(hers)).json["user"]["email"] == ada.email


@pytest.mark.parametrize("value", ["bearer {}", "BEARER {}", "Bearer  {}"])
def test_bearer_scheme_is_case_insensitive(program, ada, value):
    token = give_token(program, ada).token
    program.token = None
    assert program.get("/", Authorization=value.format(token)).ok


@pytest.mark.parametrize(
    "value", ["{}", "Basic {}", "Basic {}é", "Bearer {}é", "Bearer {}.x", "Bearer {} x", "Token {}"]
)
def test_malformed_authorization_header_returns_401(program, ada, value):
    token = give_token(program, ada).token
    program.token = None
    assert program.get("/", Authorization=value.format(token)).status == 401
