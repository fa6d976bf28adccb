"""/.well-known: what browsers and password managers find without asking a person."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.one_database
PATHS = ["/.well-known/webauthn", "/.well-known/passkey-endpoints"]


def test_browsers_learn_whose_pages_may_use_the_passkeys(json_wire):
    answer = json_wire.get("/.well-known/webauthn")
    assert answer.response.get_json() == {"origins": ["http://localhost"]}


@pytest.mark.settings(passkey_origins=("http://localhost", "https://shop.example"))
def test_related_origins_are_listed_and_their_answers_are_taken(json_wire, ada, device, add_passkey):
    from tests.functional.passkeys.conftest import asked

    assert json_wire.get("/.well-known/webauthn").response.get_json()["origins"][1] == "https://shop.example"
    add_passkey(ada, device)
    options, state = asked(json_wire.post("/wan-signin"))
    signed = device.sign(options, said={"origin": "https://shop.example"})
    assert json_wire.post(f"/wan-signin/{state}", credential=signed).ok


def test_password_managers_learn_where_passkeys_are_made_and_managed(json_wire):
    page = "http://localhost/wan-register"
    told = json_wire.get("/.well-known/passkey-endpoints").response.get_json()
    assert told == {"enroll": page, "manage": page}


@pytest.mark.parametrize("path", PATHS)
def test_anybody_may_read_them(json_wire, path):
    headers = json_wire.get(path).headers
    assert headers["Content-Type"] == "application/json"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.settings(passkeys=False)
def test_without_passkeys_there_is_nothing(json_wire, path):
    assert json_wire.get(path).status == 404
