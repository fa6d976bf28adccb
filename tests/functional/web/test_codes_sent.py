"""JSON responses after sending a code contain what the page shows."""

from __future__ import annotations

import pytest

from tests.signed_in import sign_in

pytestmark = pytest.mark.one_database

SHOWN = ("challenge", "tag", "resend_after", "expires_in")


@pytest.fixture
def ada(people):
    """An account with a mailbox."""
    return people.open(email="ada@example.com")


def types_of(told):
    """Return the fields that an API client gets about a code, without random values."""
    return {name: type(told[name]) for name in SHOWN}


@pytest.mark.parametrize(
    ("path", "known", "unknown"),
    [
        ("/register", {"email": "ada@example.com"}, {"email": "new@example.com"}),
        ("/confirm", {"email": "ada@example.com"}, {"email": "new@example.com"}),
        ("/recover", {"identity": "ada@example.com"}, {"identity": "new@example.com"}),
    ],
)
def test_responses_for_known_and_unknown_users_are_alike(json_wire, ada, path, known, unknown):
    told = json_wire.post(path, **known).json
    others = json_wire.elsewhere().post(path, **unknown).json
    assert types_of(told) == types_of(others)
    assert told.keys() == others.keys()
    for name in ("resend_after", "expires_in"):
        assert told[name] > 0
        assert abs(told[name] - others[name]) <= 2


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/change-email", {"email": "new@example.com"}),
        ("/identities/add", {"email": "new@example.com"}),
        ("/us-setup", {"chosen_method": "sms", "phone": "+16502530000"}),
    ],
)
def test_adding_an_email_or_phone_returns_challenge_details(json_wire, ada, path, fields):
    told = sign_in(json_wire, ada).post(path, **fields).json
    assert types_of(told) == dict(zip(SHOWN, (str, str, int, int), strict=True))
    assert min(told["resend_after"], told["expires_in"]) > 0


def test_authenticator_setup_has_no_resend_delay(json_wire, ada):
    told = sign_in(json_wire, ada).post("/us-setup", chosen_method="authenticator").json
    assert "resend_after" not in told
