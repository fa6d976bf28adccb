"""/.well-known: what browsers and password managers look up."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.one_database
PATHS = ["/.well-known/webauthn", "/.well-known/passkey-endpoints"]


def test_well_known_webauthn_lists_the_related_origins(json_wire):
    answer = json_wire.get("/.well-known/webauthn")
    assert answer.response.get_json() == {"origins": ["http://localhost"]}


@pytest.mark.settings(passkey_origins=("http://localhost", "https://shop.example"))
def test_configured_related_origins_are_listed_and_accepted(json_wire, ada, device, add_passkey):
    from tests.functional.passkeys.conftest import asked

    assert json_wire.get("/.well-known/webauthn").response.get_json()["origins"][1] == "https://shop.example"
    add_passkey(ada, device)
    options, state = asked(json_wire.post("/wan-signin"))
    signed = device.sign(options, said={"origin": "https://shop.example"})
    assert json_wire.post(f"/wan-signin/{state}", credential=signed).ok


def test_well_known_passkey_endpoints_names_the_enroll_and_manage_pages(json_wire):
    page = "http://localhost/wan-register"
    told = json_wire.get("/.well-known/passkey-endpoints").response.get_json()
    assert told == {"enroll": page, "manage": page}


@pytest.mark.parametrize("path", PATHS)
def test_well_known_documents_are_cross_origin_json_without_cookies(json_wire, path):
    headers = json_wire.get(path).headers
    assert headers["Content-Type"] == "application/json"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.settings(passkeys=False)
def test_well_known_documents_return_404_when_passkeys_are_disabled(json_wire, path):
    assert json_wire.get(path).status == 404
