"""Identities of Ory Kratos, with any schema."""

from __future__ import annotations

import base64
import hashlib

import pytest
from argon2 import PasswordHasher

from tests.functional.operator.imports.conftest import PASSWORD, SECRET, SETTINGS, hashed, json_lines

pytestmark = [SETTINGS, pytest.mark.one_database]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def identity(email: str, hash_: str = "", **more: object) -> dict[str, object]:
    """Return an identity as the admin API exports it, with its credentials."""
    password = {"type": "password", "identifiers": [email], "config": {"hashed_password": hash_}, "version": 0}
    address = {"id": "a", "value": email, "verified": True, "via": "email", "status": "completed"}
    known = {
        "id": f"id-{email}", "schema_id": "default", "state": "active", "traits": {"email": email},
        "verifiable_addresses": [address], "recovery_addresses": [{"value": email, "via": "email"}],
        "credentials": {"password": password} if hash_ else {}, "metadata_admin": None, "metadata_public": None,
    }  # fmt: skip
    return known | more


SALT = b"\xfb\xff" * 8
SCRYPT = hashlib.scrypt(PASSWORD.encode(), salt=SALT, n=1024, r=8, p=1, dklen=32)
HASHES = {
    "bcrypt": hashed(prefix=b"2a"),
    "argon2id": PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD),
    "pbkdf2": "$pbkdf2-sha256$i=1000,l=32$"
    f"{b64(SALT).rstrip('=')}${b64(hashlib.pbkdf2_hmac('sha256', PASSWORD.encode(), SALT, 1000, 32)).rstrip('=')}",
    "scrypt": f"$scrypt$ln=1024,r=8,p=1${b64(SALT)}${b64(SCRYPT)}",
}


@pytest.mark.parametrize("kept", HASHES.values(), ids=HASHES)
def test_every_supported_password_hash_signs_in(bring, enter, kept):
    assert bring("kratos", [identity("ada@example.com", kept)]).exit_code == 0
    assert enter("ada@example.com", PASSWORD) == "ada@example.com"
    assert enter("ada@example.com", "another horse") is None


def test_lists_json_lines_and_api_pages_are_read(bring, accounts):
    bring("kratos", {"identities": [identity("ada@example.com")], "next_page_token": "", "is_last_page": True})
    bring("kratos", json_lines(identity("bea@example.com"), identity("cleo@example.com")))
    bring("kratos", identity("dee@example.com"))
    assert list(accounts()) == [f"{name}@example.com" for name in ("ada", "bea", "cleo", "dee")]


def totp(address: str) -> dict[str, object]:
    return {"totp": {"type": "totp", "identifiers": ["id"], "config": {"totp_url": address}}}


def test_totp_second_factor_is_imported(bring, enter):
    app = totp(f"otpauth://totp/Shop:ada@example.com?algorithm=SHA1&digits=6&issuer=Shop&period=30&secret={SECRET}")
    ada = identity("ada@example.com", hashed())
    bring("kratos", [ada | {"credentials": ada["credentials"] | app}])
    assert enter("ada@example.com", PASSWORD) is None
    assert enter("ada@example.com", PASSWORD, SECRET) == "ada@example.com"
    assert enter("ada@example.com", "", SECRET, 1) == "ada@example.com"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"otpauth://totp/x?secret={SECRET}&digits=8", "makes codes of 8 digits"),
        (f"otpauth://totp/x?secret={SECRET}&algorithm=SHA256", "makes codes of 6 digits, 30 seconds, SHA256"),
        (f"otpauth://totp/x?secret={SECRET}&period=x", "no otpauth address that can be read"),
        (f"otpauth://hotp/x?secret={SECRET}&counter=1", "is counter-based"),
        ("otpauth://totp/x?digits=6", "without a secret"),
        ("otpauth://totp/x?secret=18", "is not base32"),
    ],
)
def test_unsupported_authenticator_app_is_rejected_with_its_reason(bring, address, reason):
    result = bring("kratos", [identity("ada@example.com", credentials=totp(address))])
    assert result.stderr.startswith("account 1: authenticator: ")
    assert reason in result.stderr
    assert SECRET not in result.output


def test_identities_of_any_schema_and_account_states_are_imported(bring, accounts):
    sms = {"value": "+16505551234", "verified": True, "via": "sms"}
    email = {"value": "bea@example.com", "verified": True, "via": "email"}
    people = [
        identity("ada@example.com", state="inactive", metadata_admin={"groups": ["Staff"]}),
        identity("", traits={"contact": "x", "username": "bea"}, verifiable_addresses=[email, sms]),
        identity("cleo@example.com", verifiable_addresses=[{"value": "cleo@example.com", "verified": False}]),
        identity("", traits={"phone": "+16505551235"}, verifiable_addresses=[]),
    ]
    assert bring("kratos", people, "--create-groups").exit_code == 0
    found = accounts()
    assert (found["ada@example.com"]["disabled"], found["ada@example.com"]["groups"]) == (True, ["staff"])
    assert found["bea@example.com"]["methods"] == ["email", "sms"]
    assert found["bea@example.com"]["username"] == "bea"
    assert not found["cleo@example.com"]["confirmed"]
    assert found["+16505551235"]["methods"] == ["sms"]


def test_unverified_address_is_dropped_if_another_is_verified(bring, rows):
    """Otherwise a stranger's address would sign in here."""
    from app.users import Identity

    addresses = [
        {"value": "stranger@example.com", "verified": False, "via": "email"},
        {"value": "ada@example.com", "verified": True, "via": "email"},
        {"value": "+16505551234", "verified": False, "via": "sms"},
    ]
    people = [identity("", traits={"emails": ["stranger@example.com"]}, verifiable_addresses=addresses)]
    told = bring("kratos", people).stdout
    assert "1 account: An email address that wasn't verified there stays behind" in told
    assert "1 account: A phone number that wasn't verified there stays behind" in told
    assert [each.value for each in rows(Identity)] == ["ada@example.com"]


def test_export_without_password_hashes_is_rejected(bring):
    """As ``kratos list identities`` writes it."""
    bare = {"password": {"type": "password", "identifiers": ["ada@example.com"], "version": 0}}
    result = bring("kratos", [identity("ada@example.com", credentials=bare)])
    assert "password_hash: isn't in this export: ask for it by include_credential=password" in result.stderr


def test_export_without_credentials_is_reported(bring):
    bare = identity("ada@example.com")
    del bare["credentials"]
    assert "1 account: The export has no credentials of them" in bring("kratos", [bare]).stdout


def test_data_that_cannot_be_imported_is_reported(bring):
    credentials = {
        "webauthn": {"config": {"credentials": [{"id": "x"}]}},
        "passkey": {"config": {"credentials": []}},
        "lookup_secret": {"config": {"recovery_codes": [{"code": "1bc6bea"}]}},
        "oidc": {"identifiers": ["google:1"], "config": {"providers": [{"provider": "google"}]}},
    }
    told = bring("kratos", [identity("ada@example.com", credentials=credentials)]).stdout
    for what in ("Passkeys", "Recovery codes", "Sign-in with another service"):
        assert f"1 account: {what}" in told
