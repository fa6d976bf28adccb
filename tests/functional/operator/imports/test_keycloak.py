"""Users of Keycloak: a realm in one file, or in a directory with users by the hundred."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from argon2.low_level import Type, hash_secret_raw

from tests.functional.operator.imports.conftest import PASSWORD, SECRET, SETTINGS

pytestmark = [SETTINGS, pytest.mark.one_database]

SALT = b"\xfb\xff" * 8


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def credential(kind: str, secret: dict[str, object], data: dict[str, object]) -> dict[str, object]:
    """Return a credential, whose two halves are texts of JSON."""
    return {
        "id": "c1",
        "type": kind,
        "createdDate": 1,
        "secretData": json.dumps(secret),
        "credentialData": json.dumps(data),
    }


def pbkdf2(digest: str = "sha256", size: int = 64, name: str = "") -> dict[str, object]:
    derived = hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), SALT, 1000, size)
    secret = {"value": b64(derived), "salt": b64(SALT), "additionalParameters": {}}
    return credential(
        "password",
        secret,
        {"hashIterations": 1000, "algorithm": name or f"pbkdf2-{digest}", "additionalParameters": {}},
    )


def argon2() -> dict[str, object]:
    derived = hash_secret_raw(PASSWORD.encode(), SALT, 2, 1024, 1, 32, Type.ID, 0x13)
    more = {"hashLength": ["32"], "memory": ["1024"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"]}
    return credential(
        "password",
        {"value": b64(derived), "salt": b64(SALT), "additionalParameters": {}},
        {"hashIterations": 2, "algorithm": "argon2", "additionalParameters": more},
    )


def otp(value: str, **more: object) -> dict[str, object]:
    data = {"subType": "totp", "digits": 6, "counter": 0, "period": 30, "algorithm": "HmacSHA1"}
    return credential("otp", {"value": value}, data | more)


def user(name: str, *credentials: object, **more: object) -> dict[str, object]:
    known = {
        "id": f"id-{name}", "createdTimestamp": 1700000000000, "username": name, "enabled": True, "totp": False,
        "emailVerified": True, "email": f"{name}@example.com", "credentials": list(credentials), "requiredActions": [],
        "disableableCredentialTypes": [], "realmRoles": ["default-roles-shop", "offline_access"], "notBefore": 0,
        "groups": [],
    }  # fmt: skip
    return known | more


def realm(*users: object) -> dict[str, object]:
    """Return an exported realm, with other data before and after the users."""
    before = {"id": "r1", "realm": "shop", "enabled": True, "groups": [{"name": "sales", "subGroups": []}]}
    return before | {"users": list(users), "clients": [{"clientId": "account", "attributes": {}}]}


HASHES = {
    "pbkdf2-sha256": pbkdf2(),
    "pbkdf2-sha512": pbkdf2("sha512"),
    "pbkdf2": pbkdf2("sha1", 20, "pbkdf2"),
    "argon2": argon2(),
    "of before release 8": {
        "type": "password", "hashedSaltedValue": b64(hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, 1000, 64)),
        "salt": b64(SALT), "hashIterations": 1000, "counter": 0, "algorithm": "pbkdf2-sha256", "digits": 0, "period": 0,
    },
}  # fmt: skip


@pytest.mark.parametrize("password", HASHES.values(), ids=HASHES)
def test_every_supported_password_hash_signs_in(bring, enter, password):
    assert bring("keycloak", realm(user("ada", password))).stdout == "1 opened, 0 there already, 0 refused.\n"
    assert enter("ada@example.com", PASSWORD) == "ada@example.com"
    assert enter("ada", PASSWORD) == "ada@example.com"
    assert enter("ada@example.com", "another horse") is None


def test_groups_roles_and_account_states_are_imported(bring, accounts):
    people = realm(
        user("ada", groups=["/Sales/North West", "/staff"], realmRoles=["Editor", "default-roles-shop"]),
        user("bea", enabled=False),
        user("cleo", emailVerified=False),
        user("service-account-shop", serviceAccountClientId="shop", email=None),
        user("dee", attributes={"phoneNumber": ["+16505551234"], "phoneNumberVerified": ["true"]}),
        user("eve", attributes={"phoneNumber": ["ext. 5"]}),
        user("finn", attributes={"phone": ["(650) 555-1235"]}, clientRoles={"shop": ["buyer"], "account": ["x"]}),
    )
    result = bring("keycloak", people, "--create-groups")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "1 skipped: service accounts of clients\n" in result.stdout
    assert "1 account: A phone number that can't be read stays behind" in result.stdout
    assert "1 account: Roles that only its own apps know" in result.stdout
    assert "Created groups: editor, sales.north-west, staff." in result.stdout
    found = accounts()
    assert found["ada@example.com"]["groups"] == ["editor", "sales.north-west", "staff"]
    assert found["bea@example.com"]["disabled"]
    assert not found["cleo@example.com"]["confirmed"]
    assert (found["dee@example.com"]["phone"], found["dee@example.com"]["methods"]) == (
        "+16505551234",
        ["email", "sms"],
    )
    assert (found["finn@example.com"]["phone"], found["finn@example.com"]["methods"]) == ("+16505551235", ["email"])


def test_unverified_profile_phone_does_not_confirm_the_account(bring, rows):
    """It is what anyone can write into their profile."""
    from app.users import Identity

    people = realm(user("ada", emailVerified=False, attributes={"phoneNumber": ["+16505551234"]}))
    told = bring("keycloak", people).stdout
    assert "1 account: A phone number that wasn't verified there stays behind" in told
    assert "1 account not verified" in told
    assert [(each.value, each.confirmed_at) for each in rows(Identity, kind="email")] == [("ada@example.com", None)]
    assert rows(Identity, kind="phone") == []


def test_colliding_group_and_role_names_are_rejected(bring, accounts):
    people = realm(user("ada", groups=["/admin"]), user("bea", realmRoles=["admin"]), user("cleo", groups=["/日本"]))
    result = bring("keycloak", people, "--create-groups")
    assert "account 2: groups: 'group /admin' and 'role admin' would both be admin" in result.stderr
    assert "account 3: groups: 'group /日本' makes no name of a group here" in result.stderr
    assert list(accounts()) == ["ada@example.com"]
    assert bring("keycloak", people, "--no-groups").stdout == "2 opened, 1 there already, 0 refused.\n"


@pytest.mark.parametrize(
    ("kept", "secret"),
    [
        (otp("NLyXpPTSxdAOzBHkOcYS"), base64.b32encode(b"NLyXpPTSxdAOzBHkOcYS").decode()),
        (otp(SECRET, secretEncoding="BASE32"), SECRET),
    ],
    ids=["as it stands", "base32"],
)
def test_authenticator_app_is_imported_as_second_step(bring, enter, kept, secret):
    bring("keycloak", realm(user("ada", pbkdf2(), kept)))
    assert enter("ada@example.com", PASSWORD) is None
    assert enter("ada@example.com", PASSWORD, secret) == "ada@example.com"
    assert enter("ada@example.com", "", secret, 1) == "ada@example.com"


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"digits": 8}, "8 digits, 30 seconds, SHA1"),
        ({"period": 60}, "6 digits, 60 seconds, SHA1"),
        ({"algorithm": "HmacSHA256"}, "6 digits, 30 seconds, SHA256"),
        ({"digits": "six"}, "has no number as digits"),
    ],
)
def test_app_with_unsupported_parameters_is_rejected_unless_skip_unreadable(bring, enter, accounts, more, what):
    people = realm(user("ada", pbkdf2(), otp("NLyXpPTSxdAOzBHkOcYS", **more)))
    refused = bring("keycloak", people)
    assert f"account 1: authenticator: {'makes codes of ' if 'digits, ' in what else ''}{what}" in refused.stderr
    assert accounts() == {}
    result = bring("keycloak", people, "--skip-unreadable")
    assert "1 left out of imported accounts: authenticator:" in result.stdout
    assert enter("ada@example.com", PASSWORD) == "ada@example.com"


def test_data_that_cannot_be_imported_is_reported(bring):
    people = realm(
        user("ada", credential("webauthn-passwordless", {}, {"counter": 1})),
        user("bea", credential("recovery-authn-codes", {}, {}), federatedIdentities=[{"identityProvider": "google"}]),
        user("cleo", credential("otp", {"value": "abcdefghij"}, {"subType": "hotp"}), federationLink="ldap"),
    )
    told = bring("keycloak", people).stdout
    for what in ("Passkeys and security keys", "Recovery codes don't move", "Sign-in with another service",
                 "Counter-based codes", "The password is kept by a directory"):  # fmt: skip
        assert f"1 account: {what}" in told


def test_directory_is_read_in_numeric_file_order(bring, accounts, tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "shop-realm.json").write_text(json.dumps({"realm": "shop", "clients": []}))
    for number in (10, 2):
        (folder / f"shop-users-{number}.json").write_text(
            json.dumps({"realm": "shop", "users": [user(f"person{number}")]}, indent=2)
        )
    assert bring("keycloak", folder).stdout == "2 opened, 0 there already, 0 refused.\n"
    assert list(accounts()) == ["person2@example.com", "person10@example.com"]


def test_directory_with_several_realms_is_rejected(bring, accounts, tmp_path):
    for name in ("master", "shop"):
        (tmp_path / f"{name}-users-0.json").write_text(json.dumps({"realm": name, "users": [user(name)]}))
    assert "has the users of several realms: master, shop. Name the files of one" in bring("keycloak", tmp_path).stderr
    assert accounts() == {}
