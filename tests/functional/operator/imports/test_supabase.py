"""Users of Supabase: its tables as CSV, JSON and the two kinds of dumps."""

from __future__ import annotations

import csv
import io
import json

import pytest

from app.enrollments.models import Enrollment
from tests.functional.operator.imports.conftest import PASSWORD, SECRET, SETTINGS, hashed

pytestmark = [SETTINGS, pytest.mark.one_database]

CONFIRMED = "2024-05-01 10:00:00.123456+00"
COLUMNS = ("instance_id", "id", "aud", "role", "email", "encrypted_password", "email_confirmed_at", "raw_app_meta_data",
           "raw_user_meta_data", "phone", "phone_confirmed_at", "banned_until", "is_sso_user", "deleted_at",
           "is_anonymous")  # fmt: skip
HASH = hashed(prefix=b"2a")


def user(number: int, email: str | None, **more: object) -> dict[str, object]:
    """Return a row of auth.users."""
    row: dict[str, object] = dict.fromkeys(COLUMNS) | {
        "instance_id": "00000000-0000-0000-0000-000000000000", "id": f"u{number}", "aud": "authenticated",
        "role": "authenticated", "email": email, "encrypted_password": HASH, "email_confirmed_at": CONFIRMED,
        "raw_app_meta_data": '{"provider": "email", "providers": ["email"]}', "is_sso_user": False,
        "raw_user_meta_data": '{"note": "it\'s, \\"quoted\\"\\tand\\nbroken"}', "is_anonymous": False,
    }  # fmt: skip
    return row | more


USERS = [
    user(1, "ada@example.com", raw_app_meta_data='{"providers": ["email"], "roles": ["editor"]}'),
    user(2, None, phone="16505551234", phone_confirmed_at=CONFIRMED, email_confirmed_at=None, encrypted_password=""),
    user(3, "cleo@example.com", email_confirmed_at=None),
    user(4, "dee@example.com", banned_until="2999-01-01 00:00:00+00"),
    user(5, "eve@example.com", banned_until="2001-01-01 00:00:00+00", encrypted_password="",
         raw_app_meta_data='{"provider": "google", "providers": ["google"]}'),
    user(6, None, is_anonymous=True),
    user(7, "gone@example.com", deleted_at=CONFIRMED),
]  # fmt: skip
FACTORS = [
    {
        "id": "f1",
        "user_id": "u1",
        "friendly_name": "phone",
        "factor_type": "totp",
        "status": "verified",
        "secret": SECRET,
    },
    {
        "id": "f2",
        "user_id": "u1",
        "friendly_name": "",
        "factor_type": "totp",
        "status": "unverified",
        "secret": "A" * 32,
    },
]
IDENTITIES = [
    {"provider_id": "u1", "user_id": "u1", "identity_data": '{"sub": "u1"}', "provider": "email"},
    {"provider_id": "77", "user_id": "u1", "identity_data": "{}", "provider": "github"},
]


def as_csv(rows: list[dict[str, object]]) -> str:
    """Return rows as psql's \\copy ... csv header writes them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            "" if cell is None else str(cell)[0].lower() if isinstance(cell, bool) else cell for cell in row.values()
        )
    return text.getvalue()


def as_copy(table: str, rows: list[dict[str, object]]) -> str:
    """Return rows as pg_dump writes them."""

    def cell(value: object) -> str:
        if value is None:
            return r"\N"
        text = str(value)[0].lower() if isinstance(value, bool) else str(value)
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")

    names = ", ".join(f'"{name}"' for name in rows[0])
    lines = ["\t".join(map(cell, row.values())) for row in rows]
    return f'COPY "auth"."{table}" ({names}) FROM stdin;\n' + "\n".join(lines) + "\n\\.\n\n"


def as_insert(table: str, rows: list[dict[str, object]]) -> str:
    """Return rows as pg_dump --column-inserts --rows-per-insert writes them."""

    def cell(value: object) -> str:
        if value is None:
            return "NULL"
        return str(value).lower() if isinstance(value, bool) else "'" + str(value).replace("'", "''") + "'"

    names = ", ".join(f'"{name}"' for name in rows[0])
    lines = ",\n".join(f"\t({', '.join(map(cell, row.values()))})" for row in rows)
    return f'INSERT INTO "auth"."{table}" ({names}) VALUES\n{lines};\n\n'


def dumped(write) -> str:
    """Return a dump: tables in any order, among others."""
    head = (
        "SET session_replication_role = replica;\n\n--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n"
    )
    other = write("users", [{"id": "1", "email": "not@example.com"}]).replace('"auth"', '"public"')
    return (
        head
        + write("mfa_factors", FACTORS)
        + other
        + write("users", USERS)
        + write("identities", IDENTITIES)
        + "RESET ALL;\n"
    )


FORMS = {
    "CSV": (as_csv(USERS), as_csv(FACTORS), as_csv(IDENTITIES)),
    "JSON": (json.dumps(USERS), json.dumps(FACTORS), json.dumps(IDENTITIES)),
    "COPY": (dumped(as_copy),),
    "INSERT": (dumped(as_insert),),
}


@pytest.mark.parametrize("form", FORMS)
def test_users_are_imported_with_all_tables_in_every_format(bring, enter, accounts, rows, form):
    result = bring("supabase", *FORMS[form], "--create-groups")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert result.stdout.endswith("5 opened, 0 there already, 0 refused.\n")
    assert "1 skipped: anonymous users\n1 skipped: deleted users\n" in result.stdout
    assert "2 accounts: Sign-in with another service" in result.stdout
    found = accounts()
    assert found["ada@example.com"]["groups"] == ["editor"]
    assert found["+16505551234"]["methods"] == ["sms"]
    assert not found["cleo@example.com"]["confirmed"]
    assert [each["disabled"] for each in found.values()] == [False, False, False, True, False]
    assert len(rows(Enrollment, method="authenticator")) == 1  # the other factor was never verified
    assert enter("ada@example.com", PASSWORD) is None
    assert enter("ada@example.com", PASSWORD, SECRET) == "ada@example.com"
    assert enter("ada@example.com", "", SECRET, 1) == "ada@example.com"
    assert enter("eve@example.com") == "eve@example.com"
    assert bring("supabase", *FORMS[form], "--create-groups").stdout.endswith("0 opened, 5 there already, 0 refused.\n")


def test_users_of_the_admin_api_are_read(bring, accounts):
    listed = {"id": "u1", "aud": "authenticated", "role": "authenticated", "app_metadata": {"providers": ["email"]}}
    users = [
        listed | {"email": "ada@example.com", "email_confirmed_at": CONFIRMED},
        listed | {"email": "bea@example.com"},
    ]
    assert bring("supabase", {"users": users, "aud": "authenticated"}).exit_code == 0
    assert [each["confirmed"] for each in accounts().values()] == [True, False]


def test_encrypted_password_or_totp_secret_is_rejected(bring):
    sealed = '{"key_id": "k", "alg": "aes-gcm-hkdf", "data": "x", "nonce": "y"}'
    users = [user(1, "ada@example.com", encrypted_password=sealed), user(2, "bea@example.com")]
    factors = [FACTORS[0] | {"user_id": "u2", "secret": sealed}]
    result = bring("supabase", users, factors)
    assert ": account 1: password_hash: is encrypted by Supabase" in result.stderr
    assert ": account 2: authenticator: is encrypted by Supabase" in result.stderr


def test_phone_factor_is_imported_and_passkey_is_reported(bring, accounts):
    factors = [
        {"user_id": "u1", "factor_type": "phone", "status": "verified", "phone": "16505551234", "secret": ""},
        {"user_id": "u1", "factor_type": "webauthn", "status": "verified", "phone": None, "secret": ""},
    ]
    assert "Passkeys and security keys" in bring("supabase", USERS[2:4], [user(1, "ada@example.com")], factors).stdout
    assert accounts()["ada@example.com"]["methods"] == ["email", "sms", "password"]


@pytest.mark.parametrize("form", ["CSV", "COPY", "INSERT"])
def test_broken_table_row_does_not_affect_others(bring, accounts, tmp_path, form):
    people = [user(number, f"p{number}@example.com") for number in range(5)]
    text = {"CSV": as_csv(people), "COPY": as_copy("users", people), "INSERT": as_insert("users", people)}[form]
    broken = [line for line in text.splitlines(keepends=True) if "p2@example.com" in line]
    assert broken
    for spoiled in ('"never closed,,', "'never closed"):
        refused = tmp_path / "refused.jsonl"
        spoilt = text.replace("p2@example.com", f"p2@example.com{spoiled}")
        result = bring("supabase", spoilt, ("--refused", refused))
        assert "Traceback" not in result.output
        assert {"p0@example.com", "p1@example.com", "p3@example.com", "p4@example.com"} <= set(accounts()), (
            result.output
        )
        assert json.loads(refused.read_text().splitlines()[0])["reason"]
