"""Tables of Flask-Security, shaped as those of its models ``fsqla_v3`` in 5.9.

The hash and the encrypted secret of Ada's app were made by Flask-Security 5.9.2 with libpass 1.9.
"""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.functional.operator.imports.conftest import PASSWORD, SETTINGS, hashed

pytestmark = [SETTINGS, pytest.mark.one_database]

OF_HMAC = "$2b$04$OCmSpY81CcPDD14BpdFsmODrL9VWGHPVyCKoDnifHn3WzsWuYNw4e"
SEALED = (
    '{"enckey":{"c":14,"k":"5PEU6FGPFLTIJLBUW3EN24CE5H6Q74Q7","s":"TPZZ4EYCECSNIGUD6APA","t":"1","v":1},'
    '"type":"totp","v":1}'
)
SECRET = "QXIBUQ4I2FNEXSOZPNHWTTJZE4CMAODH"
KEYS = {"1": "a secret of TOTP secrets"}


def user(number: int, email: str, **more: object) -> dict[str, object]:
    """Return a row of the users' table."""
    known = {
        "id": number, "email": email, "username": None, "password": OF_HMAC, "active": 1,
        "fs_uniquifier": f"f{number}",
        "confirmed_at": None, "us_totp_secrets": None, "us_phone_number": None, "tf_primary_method": None,
        "tf_totp_secret": None, "tf_phone_number": None, "mf_recovery_codes": None, "login_count": None,
    }  # fmt: skip
    return known | more


def as_csv(*rows: dict[str, object]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


ROLES = [{"id": 1, "name": "editor", "description": "", "permissions": None, "update_datetime": "x"}]
MEMBERS = [{"user_id": 1, "role_id": 1}]
WEBAUTHN = [{"id": 1, "credential_id": "x", "public_key": "y", "user_id": 2, "sign_count": 0}]


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "totp-secrets.json"
    path.write_text(json.dumps(KEYS))
    return ("--totp-secrets", path)


@pytest.mark.parametrize("write", [as_csv, lambda *rows: list(rows)], ids=["CSV", "JSON"])
def test_users_are_imported_with_roles_and_authenticator_apps(bring, enter, accounts, keys, write):
    people = write(
        user(
            1, "ada@example.com", us_totp_secrets=json.dumps({"authenticator": SEALED}), us_phone_number="+16505551234"
        ),
        user(2, "bea@example.com", active=0, mf_recovery_codes="a,b"),
        user(3, "cleo@example.com", tf_primary_method="authenticator", tf_totp_secret=SEALED),
        user(4, "dee@example.com", tf_primary_method="email"),
    )
    result = bring("flask-security", people, write(*ROLES), write(*MEMBERS), write(*WEBAUTHN), keys, "--create-groups")
    assert (result.exit_code, result.stderr) == (0, "")
    for what in ("Recovery codes", "Passkeys", "A code by email is no second factor"):
        assert f"1 account: {what}" in result.stdout
    found = accounts()
    assert found["ada@example.com"]["groups"] == ["editor"]
    assert found["ada@example.com"]["methods"] == ["email", "sms", "password", "authenticator"]
    assert found["bea@example.com"]["disabled"]
    assert enter("ada@example.com", PASSWORD) == "ada@example.com"
    assert enter("cleo@example.com", PASSWORD) is None
    assert enter("cleo@example.com", PASSWORD, SECRET) == "cleo@example.com"
    assert enter("dee@example.com") == "dee@example.com"


def test_app_that_was_a_sign_in_method_signs_in(bring, enter, keys, clock):
    import pyotp

    bring("flask-security", [user(1, "ada@example.com", us_totp_secrets={"authenticator": SEALED})], keys)
    assert enter("ada@example.com", pyotp.TOTP(SECRET).at(int(clock.unix()))) == "ada@example.com"


def test_postgresql_dump_is_read(bring, accounts):
    rows = {"user": [user(1, "ada@example.com")], "role": ROLES, "roles_users": MEMBERS}
    text = "--\n"
    for table, content in rows.items():
        text += f"COPY public.{table} ({', '.join(content[0])}) FROM stdin;\n"
        text += "".join(
            "\t".join(r"\N" if cell is None else str(cell) for cell in each.values()) + "\n" for each in content
        )
        text += "\\.\n\n"
    assert bring("flask-security", text, "--create-groups").exit_code == 0
    assert accounts()["ada@example.com"]["groups"] == ["editor"]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (None, "is encrypted: --totp-secrets wants SECURITY_TOTP_SECRETS"),
        ({"2": "x"}, "is encrypted: --totp-secrets has no secret '1'"),
    ],
)
def test_undecryptable_totp_secret_is_rejected_naming_what_is_needed(bring, tmp_path, keys, reason):
    people = [user(1, "ada@example.com", us_totp_secrets=json.dumps({"authenticator": SEALED}))]
    given = tmp_path / "keys.json"
    given.write_text(json.dumps(keys))
    result = bring("flask-security", people, *([("--totp-secrets", given)] if keys else []))
    assert f"account 1: authenticator: {reason}" in result.stderr
    assert bring("flask-security", people, "--skip-unreadable").stdout.endswith(
        "1 opened, 0 there already, 0 refused.\n"
    )


def test_unconfirmed_users_stay_unconfirmed_if_the_service_used_confirmation(bring, accounts):
    """Otherwise no user has a confirmation time."""
    bring("flask-security", [user(1, "ada@example.com", confirmed_at="2024-01-01"), user(2, "bea@example.com")])
    bring("flask-security", [user(3, "cleo@example.com"), user(4, "dee@example.com")])
    assert [each["confirmed"] for each in accounts().values()] == [True, False, True, True]


def test_rejected_unconfirmed_user_stays_unconfirmed_when_reimported(bring, accounts, tmp_path):
    refused = tmp_path / "refused.jsonl"
    people = [user(1, "ada@example.com", confirmed_at="2024-01-01"), user(2, "bea@@example.com")]
    bring("flask-security", people, ("--refused", refused))
    refused.write_text(refused.read_text().replace("@@", "@"))
    assert bring("flask-security", refused).exit_code == 0
    assert not accounts()["bea@example.com"]["confirmed"]


def test_single_hashed_passwords_need_no_salt(bring, enter, accounts):
    django = "bcrypt$" + hashed()
    bring("flask-security", [user(1, "ada@example.com", password=django)])
    bring("flask-security", [user(2, "bea@example.com", password=hashed())], "--single-hash")
    assert enter("ada@example.com", PASSWORD) == "ada@example.com"
    assert enter("bea@example.com", PASSWORD) == "bea@example.com"


@pytest.mark.settings(imported_password_salt="")
def test_missing_salt_names_the_setting(bring):
    result = bring("flask-security", [user(1, "ada@example.com")])
    assert "is of an HMAC, and LATCHKEY_IMPORTED_PASSWORD_SALT is not set" in result.stderr
