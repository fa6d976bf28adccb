"""``flask users create, list, disable, enable, unlock``."""

from __future__ import annotations

import json

import pyotp
import pytest

from app.audit import Event
from app.authenticators.password import accept
from app.challenges.passcodes import enrolled_context
from app.enrollments.models import Enrollment
from app.users import Identity, User
from tests.signed_in import sign_in
from tests.sinks import code_in, link_in

pytestmark = pytest.mark.both_databases

ADA = ("users", "create", "ada@example.com")
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def opened(app, row):
    """Return the decrypted secret of an enrolled method."""
    with app.app_context():
        return app.extensions["latchkey.keyring"].open(row.secret, *enrolled_context(row)).decode()


def test_create_adds_an_account_with_email_sign_in(operate, app, rows):
    result = operate("users", "create", "Ada@Example.com")
    assert (result.exit_code, result.stdout) == (0, "Created an account for ada@example.com: email.\n")
    [identity], [method] = rows(Identity), rows(Enrollment)
    assert (identity.kind, identity.value, bool(identity.confirmed_at)) == ("email", "ada@example.com", True)
    assert method.method == "email"
    assert len(opened(app, method)) == 32
    assert [event.name for event in rows(Event)] == ["account.created"]


def test_create_accepts_every_identity_and_method(operate, app, rows):
    more = ("--phone", "(650) 555-1234", "--username", "Ada", "--method", "email", "--method", "sms")
    result = operate(
        *ADA, *more, "--authenticator", "jbsw y3dp-ehpk 3pxp JBSWY3DPEHPK3PXP", "--password", "mind the old stairs"
    )
    assert result.exit_code == 0, result.output
    assert {(row.kind, row.value) for row in rows(Identity)} == {
        ("email", "ada@example.com"), ("phone", "+16505551234"), ("username", "ada"),
    }  # fmt: skip
    methods = {row.method: row for row in rows(Enrollment)}
    assert methods.keys() == {"email", "sms", "authenticator", "password"}
    assert opened(app, methods["authenticator"]) == SECRET
    with app.app_context():
        assert accept(methods["password"], "mind the old stairs")


def test_created_user_signs_in(operate, wire, clock):
    operate(*ADA, "--authenticator", SECRET)
    code = pyotp.TOTP(SECRET).at(int(clock.unix()))
    assert wire.post("/us-signin", identity="ada@example.com", passcode=code).ok
    assert wire.signed_in_as() == "ada@example.com"


def test_create_supports_unconfirmed_and_disabled_accounts(operate, rows):
    operate(*ADA, "--unconfirmed", "--disabled")
    assert rows(Identity)[0].confirmed_at is None
    assert rows(User)[0].disabled_at is not None


@pytest.mark.one_database
@pytest.mark.parametrize(("words", "reason"), [
    (("users", "create", "ada"), "email: "),
    ((*ADA, "--phone", "+15555555555"), "phone: There is no such phone number."),
    ((*ADA, "--username", "a@b"), "username: "),
    ((*ADA, "--method", "sms"), "sms needs a value for phone"),
    ((*ADA, "--method", "authenticator"), "authenticator needs a value"),
    ((*ADA, "--method", "pigeon"), "there are only"),
    ((*ADA, "--authenticator", "not base32!"), "is not base32"),
    ((*ADA, "--authenticator", "MFRGG"), "is shorter than"),
    ((*ADA, "--password", "short"), "at least 15"),
    ((*ADA, "--password", "p" * 200), "at most 128"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_invalid_create_arguments_are_rejected_and_nothing_is_stored(operate, rows, words, reason):
    result = operate(*words)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert rows(User) == []


def test_password_is_never_printed(operate):
    result = operate("users", "create", "nonsense", "--password", "mind the old stairs")
    assert result.exit_code == 1
    assert "stairs" not in result.output


@pytest.mark.parametrize("words", [ADA, ("users", "create", "eve@example.com", "--phone", "+16505551234")])
def test_identity_already_in_use_is_rejected(operate, rows, words):
    operate(*ADA, "--phone", "+16505551234")
    result = operate(*words)
    assert result.exit_code == 1
    assert "already" in result.stderr
    assert len(rows(User)) == 1


def test_disable_ends_all_sessions_of_the_account(operate, people, wire, rows):
    ada = people.open("ada@example.com", methods=["authenticator"])
    wire.post("/us-signin", identity=ada.email, passcode=ada.app_code())
    assert wire.signed_in_as() == ada.email
    result = operate("users", "disable", "Ada@Example.com")
    assert (result.exit_code, result.stdout) == (0, "Ada@Example.com: disabled, 1 session ended.\n")
    assert wire.signed_in_as() is None
    assert [event.user_id for event in rows(Event, name="account.disabled")] == [ada.id]


def test_enable_allows_sign_in_but_restores_no_session(operate, people, wire, clock):
    ada = people.open("ada@example.com", methods=["authenticator"])
    wire.post("/us-signin", identity=ada.email, passcode=ada.app_code())
    operate("users", "disable", ada.email)
    assert operate("users", "enable", ada.email).stdout == "ada@example.com: enabled.\n"
    assert wire.signed_in_as() is None
    clock.shift(60)
    assert wire.post("/us-signin", identity=ada.email, passcode=ada.app_code()).ok


def test_code_and_link_sent_before_disabling_are_invalid_after_enabling(operate, people, wire, mail_to):
    ada = people.open("ada@example.com")
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    for command in ("disable", "enable"):
        assert operate("users", command, ada.email).exit_code == 0
    assert not wire.post("/us-signin", identity=ada.email, passcode=code_in(mail)).ok
    wire.get(link_in(mail, "/us-verify-link").removeprefix("http://localhost"))
    assert wire.signed_in_as() is None
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert wire.post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email))).ok


def test_disable_accepts_any_identity_and_reports_unknown_ones(operate, people, rows):
    people.open("ada@example.com", phone="+16505551234", username="ada")
    result = operate("users", "disable", "(650) 555-1234", "nobody@example.com", "ada")
    assert result.exit_code == 1
    assert result.stdout == "(650) 555-1234: disabled.\nada: already disabled.\n"
    assert result.stderr == "nobody@example.com: no account has that.\n"


def test_list_shows_all_users_in_order(operate, people):
    people.open("ada@example.com", phone="+16505551234", username="ada")
    people.open("eve@example.com", confirmed=False, disabled=True)
    assert operate("users", "list").stdout.splitlines() == [
        "IDENTITIES  METHODS  GROUPS, STATE",
        "ada@example.com +16505551234 ada  email,sms",
        "eve@example.com  email  disabled  unconfirmed",
    ]
    assert operate("users", "list", "--disabled").stdout.splitlines()[1].startswith("eve@")


def test_json_list_contains_no_secrets(operate, people):
    people.open("ada@example.com", methods=["email", "authenticator"])
    [account] = [json.loads(line) for line in operate("users", "list", "--json").stdout.splitlines()]
    assert account.keys() == {
        "handle", "email", "phone", "username", "name", "methods", "groups", "disabled", "deletes_at", "confirmed",
        "created_at", "administrator",
    }  # fmt: skip
    assert (account["email"], account["methods"], account["phone"]) == (
        "ada@example.com",
        ["email", "authenticator"],
        None,
    )


@pytest.mark.one_database
def test_list_continues_past_a_batch(operate, people, monkeypatch):
    monkeypatch.setattr("app.admin.people.BATCH", 2)
    emails = [people.open().email for _ in range(5)]
    assert names_of(operate("users", "list")) == emails


def names_of(result):
    """Return the first identity of each account that was listed."""
    return [line.split()[0] for line in result.stdout.splitlines()[1:]]


@pytest.fixture
def several(people, monkeypatch):
    """Four accounts, more than a page of them."""
    monkeypatch.setattr("app.admin.people.BATCH", 2)
    people.open("ada@example.com", phone="+16505551234", username="adalovelace")
    people.open("ada.b@example.com")
    people.open("adam@example.com", disabled=True)
    people.open("zoe@example.com", username="adamina")


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ada", ["ada.b@example.com", "ada@example.com", "adam@example.com", "zoe@example.com"]),
        ("ADA@", ["ada@example.com"]),
        ("adal", ["ada@example.com"]),
        ("+1 650", ["ada@example.com"]),
        ("adam", ["adam@example.com", "zoe@example.com"]),
        ("a_a", []),
        ("%", []),
        ("example", []),
    ],
)
def test_list_finds_accounts_by_a_prefix_of_any_identity(operate, search, found):
    assert names_of(operate("users", "list", search)) == found


@pytest.mark.usefixtures("several")
def test_list_respects_the_limit(operate):
    result = operate("users", "list", "ada", "--limit", "3")
    assert names_of(result) == ["ada.b@example.com", "ada@example.com", "adam@example.com"]
    assert result.stderr == "3 accounts. There may be more.\n"
    assert names_of(operate("users", "list", "ada", "--disabled")) == ["adam@example.com"]


@pytest.mark.usefixtures("several")
def test_show_prints_one_account(operate):
    shown = dict(line.split(None, 1) for line in operate("users", "show", "(650) 555-1234").stdout.splitlines())
    assert (shown["email"], shown["disabled"]) == ("ada@example.com", "no")
    assert shown["identities"] == "ada@example.com, +16505551234, adalovelace"
    assert json.loads(operate("users", "show", "adam@example.com", "--json").stdout)["disabled"] is True
    assert operate("users", "show", "nobody@example.com").exit_code == 1


def test_show_lists_authenticator_apps(operate, people, app):
    from app.authenticators.enrollments import enroll
    from app.extensions import db

    eve = people.open("eve@example.com", methods=["email", "authenticator"], second="authenticator")
    with app.app_context():
        enroll(eve.id, "authenticator", name="Work phone", is_second=True)
        db.session.commit()
    shown = dict(line.split(None, 1) for line in operate("users", "show", eve.email).stdout.splitlines())
    assert (shown["authenticators"], shown["methods"]) == ("Authenticator app, Work phone", "email, authenticator")
    assert json.loads(operate("users", "show", eve.email, "--json").stdout)["authenticators"] == [
        "Authenticator app",
        "Work phone",
    ]
    assert operate("users", "second-step", eve.email).stdout == "eve@example.com: Authenticator app.\n"


def test_search_uses_the_prefix_index(operate, people, database, app):
    people.open("ada@example.com")
    collated = 'value COLLATE "C"' if database.kind == "postgresql" else "value"
    explain = "EXPLAIN" if database.kind == "postgresql" else "EXPLAIN QUERY PLAN"
    if database.kind == "postgresql":
        database._connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
    span = f"kind = 'email' AND {collated} >= 'a' AND {collated} < 'b' AND {collated} > ''"
    plan = str(database.query(f"{explain} SELECT * FROM identity WHERE {span} ORDER BY {collated} LIMIT 500"))
    database.disconnect()
    assert {"postgresql": "ix_identity_prefix", "sqlite": "USING INDEX"}[database.kind] in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def test_recovery_shows_how_many_codes_are_left_but_not_which(operate, people, json_wire):
    ada = people.open("ada@example.com")
    assert operate("users", "recovery", ada.email).stdout == "ada@example.com: no recovery codes.\n"
    codes = sign_in(json_wire, ada).post("/mf-recovery-codes").json["recovery_codes"]
    json_wire.post("/us-verify", passcode=codes[0])
    told = operate("users", "recovery", ada.email)
    assert told.stdout.startswith("ada@example.com: 9 of 10 recovery codes left, made 20")
    assert not any(code in told.stdout for code in codes)
    assert operate("users", "recovery", "nobody@example.com").exit_code == 1


@pytest.mark.settings(languages=("es", "en"))
def test_command_output_is_english_even_if_the_service_language_is_not(operate):
    assert "isn't an email address" in operate("users", "disable", "???").stderr
    weak = b'{"email": "ada@example.com", "password": "correct"}'
    assert "password: Use at least" in operate("users", "import", "-", stdin=weak).stderr


def test_account_is_found_by_its_handle(operate, people, rows):
    from app.users import User

    people.open(email="ada@example.com")
    eve = people.open(email="eve@example.com")
    (handle,) = [user.handle for user in rows(User) if user.id == eve.id]
    shown = operate("users", "show", handle)
    assert (shown.exit_code, "eve@example.com" in shown.output) == (0, True)
    assert operate("users", "show", "0" * 32).exit_code == 1
