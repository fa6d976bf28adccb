"""LATCHKEY_CSRF_COOKIE_NAME: the token in a cookie that a front end's script can read."""

from __future__ import annotations

import pytest

from tests.wire import Wire

NAME = "XSRF-TOKEN"

pytestmark = [pytest.mark.one_database, pytest.mark.settings(csrf_cookie_name=NAME)]


@pytest.fixture
def ada(people):
    """Someone with an authenticator app."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


def sign_in(client: Wire, ada) -> None:
    """Sign in as a script does that reads its token from the cookie."""
    client.get("/us-signin")
    fields = {"identity": ada.email, "passcode": ada.app_code()}
    assert client.post("/us-signin", csrf=None, headers=from_cookie(client), **fields).ok


def from_cookie(client: Wire) -> dict[str, str]:
    """Return the header that a front end derives from the cookie."""
    return {"X-XSRF-Token": client.cookies[NAME]}


def set_by(answer) -> str:
    """Return how an answer sets the cookie; "" when it does not."""
    return next((line for line in answer.headers.getlist("Set-Cookie") if line.startswith(NAME)), "")


def test_csrf_token_from_the_cookie_is_accepted_in_a_header(wire, ada):
    sign_in(wire, ada)
    for _ in range(2):
        assert wire.post("/us-setup", csrf=None, headers=from_cookie(wire), delete_method="email").status in (
            200,
            303,
            400,
        )
    assert wire.post("/logout", csrf=None, headers=from_cookie(wire)).ok
    assert NAME not in wire.cookies, "it goes with signing out"


def test_cookie_is_readable_by_scripts_and_same_site_strict(wire):
    attributes = set_by(wire.get("/us-signin"))
    assert "HttpOnly" not in attributes
    assert "SameSite=Strict" in attributes
    assert "Path=/" in attributes


@pytest.mark.settings(csrf_cookie_name=NAME, public_url="https://localhost")
def test_cookie_is_secure_over_https(wire):
    assert "; Secure" in set_by(wire.get("/us-signin"))


def test_cookie_is_renewed_on_sign_in_and_after_half_its_lifetime(wire, ada, clock):
    assert set_by(wire.get("/us-signin"))
    before = wire.cookies[NAME]
    assert set_by(wire.get("/us-signin")) == "", "what will do for a while is left"
    sign_in(wire, ada)
    assert wire.cookies[NAME] != before
    assert set_by(wire.get("/us-setup")) == ""
    clock.shift(13 * 3600)
    wire.get("/us-signin", headers={"Accept": "application/json"})
    assert wire.post("/logout", csrf=None, headers=from_cookie(wire)).ok


def test_invalid_cookie_is_replaced(wire):
    wire.client.set_cookie(NAME, "x")
    assert set_by(wire.get("/us-signin"))


def test_cookie_alone_does_not_count_as_csrf_token(wire, ada):
    sign_in(wire, ada)
    assert wire.post("/us-setup", csrf=None, delete_method="email").codes == ["csrf_token_missing"]


@pytest.mark.settings(csrf_cookie_name="")
def test_cookie_is_not_set_by_default(wire):
    assert [line for line in wire.get("/us-signin").headers.getlist("Set-Cookie") if "HttpOnly" not in line] == []
