"""``dumpdata`` of Django, in the format of 5.2 with django-otp 1.7 and django-allauth 65."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.functional.operator.imports.conftest import PASSWORD, SECRET, SETTINGS, json_lines

pytestmark = [SETTINGS, pytest.mark.one_database]

DERIVED = base64.b64encode(hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"seasalt", 1000)).decode()
KEY = base64.b32decode(SECRET).hex()


def row(model: str, pk: object, **fields: object) -> dict[str, object]:
    return {"model": model, "pk": pk, "fields": fields}


def user(pk: int, name: str, model: str = "auth.user", **more: object) -> dict[str, object]:
    known = {
        "password": f"pbkdf2_sha256$1000$seasalt${DERIVED}", "last_login": None, "is_superuser": False,
        "username": name, "first_name": "", "last_name": "", "email": f"{name}@example.com", "is_staff": False,
        "is_active": True, "date_joined": "2024-01-01T00:00:00Z", "groups": [], "user_permissions": [],
    }  # fmt: skip
    return row(model, pk, **(known | more))


def device(owner: object, **more: object) -> dict[str, object]:
    known = {
        "user": owner, "name": "phone", "confirmed": True, "key": KEY, "step": 30, "t0": 0, "digits": 6,
        "tolerance": 1, "drift": 0, "last_t": -1,
    }  # fmt: skip
    return row("otp_totp.totpdevice", 1, **(known | more))


def email(owner: object, address: str, *, verified: bool = True, primary: bool = False) -> dict[str, object]:
    return row("account.emailaddress", 1, user=owner, email=address, verified=verified, primary=primary)


@pytest.mark.parametrize("natural", [False, True], ids=["numbers", "names"])
@pytest.mark.parametrize("as_lines", [False, True], ids=["array", "lines"])
def test_users_are_imported_with_emails_groups_and_otp_devices(bring, enter, accounts, rows, natural, as_lines):
    from app.users import Identity

    ada, bea, staff = (["ada"], ["bea"], ["Staff members"]) if natural else (1, 2, 7)
    everything = [
        device(ada),
        row("sites.site", 1, domain="example.com"),
        user(1, "ada", groups=[staff], is_staff=True),
        user(2, "bea", is_active=False, password="!unusable"),
        email(ada, "ada@work.example"),
        email(ada, "ada@example.com", primary=True),
        email(bea, "bea@example.com", verified=False, primary=True),
        row("auth.group", 7, name="Staff members", permissions=[]),
        row("socialaccount.socialaccount", 1, user=ada, provider="google", uid="1"),
    ]
    content = json_lines(*everything) if as_lines else everything
    result = bring("django", content, "--create-groups")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "1 account: Staff and superuser rights" in result.stdout
    assert "1 account: Sign-in with another service" in result.stdout
    found = accounts()
    assert found["ada@example.com"]["groups"] == ["staff-members"]
    assert (found["bea@example.com"]["disabled"], found["bea@example.com"]["confirmed"]) == (True, False)
    primary = {each.value: each.is_primary for each in rows(Identity, kind="email")}
    assert primary == {"ada@example.com": True, "ada@work.example": False, "bea@example.com": True}
    assert enter("ada@example.com", PASSWORD) is None
    assert enter("ada", PASSWORD, SECRET) == "ada@example.com"
    assert enter("ada@work.example", "", SECRET, 1) == "ada@example.com"


def test_custom_user_model_and_allauth_mfa_are_imported(bring, enter):
    people = [
        {**user(1, "x", "people.person"), "fields": {"password": user(1, "x")["fields"]["password"],
         "email": "ada@example.com", "is_active": True, "phone": "+16505551234", "last_login": None}},
        row("mfa.authenticator", 1, user=1, type="totp", data={"secret": SECRET}),
        row("mfa.authenticator", 2, user=1, type="webauthn", data={}),
        row("mfa.authenticator", 3, user=1, type="recovery_codes", data={}),
    ]  # fmt: skip
    told = bring("django", people).stdout
    assert "1 account: Passkeys" in told
    assert "1 account: Recovery codes" in told
    assert enter("+16505551234", PASSWORD, SECRET) == "ada@example.com"


def test_emails_without_allauth_are_confirmed_unless_unverified_is_given(bring, accounts):
    bring("django", [user(1, "ada")])
    bring("django", [user(2, "bea")], "--unverified")
    assert [each["confirmed"] for each in accounts().values()] == [True, False]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"digits": 8}, "makes codes of 8 digits"),
        ({"step": 60}, "makes codes of 6 digits, 60 seconds"),
        ({"t0": 5}, "another moment than 1970"),
        ({"key": "nothing"}, "not hexadecimal"),
        ({"key": "00ff"}, "is shorter than 10 bytes"),
    ],
)
def test_unsupported_otp_device_is_rejected(bring, more, reason):
    assert reason in bring("django", [user(1, "ada"), device(1, **more)]).stderr


def test_unconfirmed_otp_device_is_ignored(bring, enter):
    bring("django", [user(1, "ada"), device(1, confirmed=False)])
    assert enter("ada@example.com", PASSWORD) == "ada@example.com"


def test_rejected_users_keep_groups_and_devices_when_reimported(bring, enter, accounts, tmp_path):
    refused = tmp_path / "refused.jsonl"
    everything = [user(1, "ada", email="ada@@example.com", groups=[7]), device(1), row("auth.group", 7, name="Staff")]
    result = bring("django", everything, ("--refused", refused), "--create-groups")
    assert "email: An e-mail address has one @" in result.stderr
    refused.write_text(refused.read_text().replace("ada@@", "ada@"))
    assert bring("django", refused, "--create-groups").exit_code == 0
    assert accounts()["ada@example.com"]["groups"] == ["staff"]
    assert enter("ada@example.com", PASSWORD, SECRET) == "ada@example.com"
