"""Users of Auth0: its bulk export, the hashes that its support sends, and files for its import."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.functional.operator.imports.conftest import PASSWORD, SECRET, SETTINGS, hashed, json_lines

pytestmark = [SETTINGS, pytest.mark.one_database]

ADA = {
    "user_id": "auth0|5dea9f9c82dd7c0e76e4ec93",
    "email": "Ada@example.com",
    "email_verified": True,
    "name": "Ada",
    "identities": [{"connection": "Username-Password-Authentication", "provider": "auth0", "isSocial": False}],
    "app_metadata": {"roles": ["Editor"]},
}
GOOGLE = {
    "user_id": "google-oauth2|1090",
    "email": "gina@example.com",
    "email_verified": True,
    "identities": [{"connection": "google-oauth2", "provider": "google-oauth2", "isSocial": True}],
}
PHONE = {"user_id": "sms|5f0", "phone_number": "+16505551234", "phone_verified": True}


def of_ada(**more: object) -> dict[str, object]:
    """Return a line of the export of hashes."""
    return {
        "_id": {"$oid": "5dea9f9c82dd7c0e76e4ec93"},
        "email": "Ada@example.com",
        "email_verified": True,
        "passwordHash": hashed(),
        "password_set_date": {"$date": "2019-12-06T18:36:12.412Z"},
        "tenant": "acme",
        "connection": "Username-Password-Authentication",
        "_tmp_is_unique": True,
    } | more


def test_hashes_and_bulk_export_are_merged_into_one_account(bring, enter, accounts):
    hashes = json_lines(of_ada())
    result = bring("auth0", json_lines(ADA, GOOGLE, PHONE), hashes, "--create-groups")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-2:] == ["Created groups: editor.", "3 opened, 0 there already, 0 refused."]
    assert "1 account: Sign-in with another service" in result.stdout
    assert accounts()["ada@example.com"]["groups"] == ["editor"]
    assert accounts()["+16505551234"]["methods"] == ["sms"]
    assert enter("ada@example.com", PASSWORD) == "ada@example.com"
    assert enter("ada@example.com", "another horse") is None
    assert enter("gina@example.com") == "gina@example.com"


def test_export_of_hashes_alone_is_imported(bring, enter):
    newer = of_ada(identifiers=[{"type": "email", "value": "cleo@example.com", "verified": True}])
    del newer["email"], newer["email_verified"]
    result = bring("auth0", json_lines(of_ada(), newer))
    assert result.stdout == "2 opened, 0 there already, 0 refused.\n"
    assert enter("ada@example.com", PASSWORD)
    assert enter("cleo@example.com", PASSWORD)


def test_hash_without_account_in_the_bulk_export_is_reported(bring):
    result = bring("auth0", json_lines(ADA), json_lines(of_ada(), of_ada(_id={"$oid": "other"})), "--no-groups")
    assert result.stderr == "1 row belongs to no account in these files.\n"
    assert result.exit_code == 0


def test_totp_second_factor_is_imported(bring, enter):
    people = [
        {"email": "ada@example.com", "email_verified": True, "password_hash": hashed(prefix=b"2a"),
         "mfa_factors": [{"totp": {"secret": SECRET}}, {"email": {"value": "ada@example.com"}}]},
        {"email": "bea@example.com", "email_verified": True, "password_hash": hashed(),
         "mfa_factors": [{"phone": {"value": "+16505551234"}}]},
    ]  # fmt: skip
    result = bring("auth0", people)
    assert "1 account: A code by email is no second factor here" in result.stdout
    assert enter("ada@example.com", PASSWORD) is None
    assert enter("ada@example.com", PASSWORD, SECRET) == "ada@example.com"
    assert enter("ada@example.com", "", SECRET, 1) == "ada@example.com"
    assert enter("bea@example.com", PASSWORD) is None


def test_blocked_and_unverified_users_stay_disabled_and_unconfirmed(bring, enter, accounts):
    people = [
        {"email": "ada@example.com", "email_verified": True, "blocked": True, "password_hash": hashed()},
        {"email": "bea@example.com", "email_verified": False, "password_hash": hashed()},
    ]
    result = bring("auth0", people)
    assert "1 account not verified" in result.stdout
    assert enter("ada@example.com", PASSWORD) is None
    assert enter("bea@example.com", PASSWORD) is None
    assert (accounts()["ada@example.com"]["disabled"], accounts()["bea@example.com"]["confirmed"]) == (True, False)


def test_second_factor_without_its_secret_is_reported(bring):
    result = bring("auth0", json_lines(ADA | {"multifactor": ["guardian"]}), "--no-groups")
    assert "1 account: A second factor whose secret isn't in the export" in result.stdout


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


PBKDF2 = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), b"8bytes++", 1000, 64)
SCRYPT = hashlib.scrypt(PASSWORD.encode(), salt=b"\xff\x00salt", n=1024, r=8, p=1, dklen=64)
CUSTOM = {
    "bcrypt": {"algorithm": "bcrypt", "hash": {"value": hashed()}},
    "pbkdf2": {"algorithm": "pbkdf2",
               "hash": {"value": f"$pbkdf2-sha512$i=1000,l=64${b64(b'8bytes++')}${b64(PBKDF2)}", "encoding": "utf8"}},
    "scrypt": {"algorithm": "scrypt", "hash": {"value": SCRYPT.hex(), "encoding": "hex"}, "keylen": 64, "cost": 1024,
               "salt": {"value": b64(b"\xff\x00salt"), "encoding": "base64"}, "blockSize": 8, "parallelization": 1},
}  # fmt: skip


@pytest.mark.parametrize("custom", CUSTOM.values(), ids=CUSTOM)
def test_custom_password_hash_signs_in(bring, enter, custom):
    bring("auth0", [{"email": "ada@example.com", "email_verified": True, "custom_password_hash": custom}])
    assert enter("ada@example.com", PASSWORD) == "ada@example.com"


@pytest.mark.parametrize(
    ("custom", "reason"),
    [
        ({"algorithm": "md5", "hash": {"value": "0" * 32}}, "is md5, which is guessed fast"),
        (CUSTOM["scrypt"] | {"cost": 1000}, "no power of two"),
        (CUSTOM["scrypt"] | {"cost": "many"}, "has no number as cost"),
        (CUSTOM["scrypt"] | {"hash": {"value": "xyz", "encoding": "hex"}}, "has a part that is not hex"),
        (CUSTOM["bcrypt"] | {"password": {"encoding": "utf16"}}, "another encoding"),
    ],
)
def test_unsupported_hash_is_rejected_unless_skip_unreadable(bring, enter, custom, reason):
    people = [{"email": "ada@example.com", "email_verified": True, "custom_password_hash": custom}]
    refused = bring("auth0", people)
    assert refused.stderr.startswith("account 1: password_hash: ")
    assert reason in refused.stderr
    assert "--skip-unreadable" in refused.stderr
    assert bring("auth0", people, "--skip-unreadable").stdout.endswith("1 opened, 0 there already, 0 refused.\n")
    assert enter("ada@example.com") == "ada@example.com"
