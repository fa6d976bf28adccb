"""``flask users import``: many accounts, none lost, and safe to repeat."""

from __future__ import annotations

import json
import time

import pytest

from app.authenticators.password import accept
from app.cli import account_creation
from app.cli.imports.run import import_lines
from app.enrollments.models import Enrollment
from app.users import Identity, User

IMPORT = ("users", "import", "-")


def lines(*accounts: object) -> bytes:
    """Return accounts as JSON lines; bytes are used unchanged."""
    return b"".join((a if isinstance(a, bytes) else json.dumps(a).encode()) + b"\n" for a in accounts)


def many(count: int) -> bytes:
    return lines(*({"email": f"person{number}@example.com"} for number in range(count)))


def emails(rows) -> list[str]:
    return [row.value for row in rows(Identity, kind="email")]


@pytest.mark.both_databases
def test_import_creates_an_account_per_line(operate, rows):
    accounts = lines(
        {"email": "Ada@example.com", "phone": "+16505551234", "methods": ["email", "sms"]},
        {"phone": "+442079460958", "username": "bea", "confirmed": False},
        {"email": "cleo@example.com", "authenticator": "JBSWY3DPEHPK3PXP", "disabled": True, "username": None},
    )
    result = operate(*IMPORT, stdin=accounts)
    assert (result.exit_code, result.stdout) == (0, "3 opened, 0 there already, 0 refused.\n")
    assert [user.is_active for user in rows(User)] == [True, True, False]
    found = {(row.user_id, row.kind): row for row in rows(Identity)}
    first = rows(User)[0].id
    assert found[first, "email"].value == "ada@example.com"
    assert found[first + 1, "phone"].confirmed_at is None
    methods = sorted((row.user_id - first, row.method) for row in rows(Enrollment))
    assert methods == [(0, "email"), (0, "sms"), (1, "sms"), (2, "authenticator"), (2, "email")]


@pytest.mark.both_databases
def test_import_takes_display_names_and_rejects_invalid_ones(operate, rows):
    people = [{"email": f"person{number}@example.com", "name": name} for number, name in enumerate(NAMES)]
    result = operate(*IMPORT, stdin=lines(*people))
    assert result.stdout == "2 opened, 0 there already, 2 refused.\n"
    assert [user.name for user in rows(User)] == ["Ada Lovelace", None]
    assert result.stderr.count("name: ") == 2
    listed = [json.loads(line) for line in operate("users", "list", "--json").stdout.splitlines()]
    assert [account["name"] for account in listed] == ["Ada Lovelace", None]


NAMES = (" Ada\u202e  Lovelace", "boss@example.com", "x" * 65, None)


@pytest.mark.both_databases
def test_repeated_import_changes_no_existing_accounts(operate, rows):
    operate(*IMPORT, stdin=many(7))
    before = [(row.id, row.secret) for row in rows(Enrollment)]
    result = operate(*IMPORT, stdin=many(9))
    assert (result.exit_code, result.stdout) == (0, "2 opened, 7 there already, 0 refused.\n")
    assert [(row.id, row.secret) for row in rows(Enrollment) if row.id in dict(before)] == before


BCRYPT = "$" + "a" * 21 + "u" + "a" * 31
B64 = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="


def hashed(text: str) -> bytes:
    """Return a line with this hash of a password."""
    return json.dumps({"email": "x@example.com", "password_hash": text}).encode()


BAD = {
    b"nonsense": "is not JSON",
    b"[1, 2]": "is a JSON array; one object a line is wanted",
    b'{"email": "x@example.com", "emial": "y"}': "has unknown fields: emial",
    b'{"email": 5}': "email: should be a str",
    b'{"email": "x@example.com", "disabled": "no"}': "disabled: should be a bool",
    b'{"email": "x@example.com", "methods": "email"}': "methods: should be a list",
    b'{"email": "x@example.com", "methods": [["email"]]}': "methods: there are only",
    b'{"email": "a@x@example.com"}': "email: An e-mail address has one @",
    b'{"username": "xavier"}': "has nothing to sign in with",
    b"{}": "has no email, phone or username",
    b'{"email": "x@example.com", "password": "hunter2"}': "password: Use at least 15 characters",
    hashed("hunter2"): "password_hash: has no form that is known here",
    hashed("x" * 600): "password_hash: has no form that is known here",
    hashed("5f4dcc3b5aa765d61d8327deb882cf99"): "password_hash: is a plain digest, which is not read",
    hashed("sha1$salt$5f4dcc3b5aa765d61d8327deb882cf99"): "password_hash: is a salted digest",
    hashed("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"): "password_hash: is MD5 crypt",
    hashed("$6$saltsalt$qjXMvbEw8oaL.CzflDtaK/"): "password_hash: is SHA-2 crypt",
    hashed("$2x$12" + BCRYPT): "password_hash: is bcrypt of a faulty PHP",
    hashed("!WqBR7pe9Ehb0"): "password_hash: is Django's mark for no password",
    hashed("$2b$15" + BCRYPT): "password_hash: has a cost of bcrypt outside 4 to 14",
    hashed("$2b$03" + BCRYPT): "password_hash: has a cost of bcrypt outside 4 to 14",
    hashed("$2b$12" + BCRYPT[:-1]): "password_hash: has no form that is known here",
    hashed("$2b$12$" + "a" * 53): "password_hash: has no form that is known here",
    hashed(f"pbkdf2_sha256$2000001$salt${B64}"): "password_hash: costs more than 2,000,000 rounds",
    hashed(f"$pbkdf2$1000001$c2FsdA${B64}"): "password_hash: costs more than 2,000,000 rounds",
    hashed(f"pbkdf2_sha256$0$salt${B64}"): "password_hash: has no form that is known here",
    hashed("pbkdf2_sha256$1000$salt$aGFzaA=="): "password_hash: is cut off",
    hashed("pbkdf2_sha256$1000$salt$" + "a" * 41): "password_hash: does not end in base64",
    hashed("pbkdf2:sha256:1000$salt$" + "a" * 63): "password_hash: is cut off",
    hashed("pbkdf2:md5:1000$salt$" + "a" * 32): "password_hash: has no form that is known here",
    hashed("scrypt:1048576:8:1$salt$" + "a" * 128): "password_hash: costs more than 256 MiB",
    hashed("scrypt:32768:8:64$salt$" + "a" * 128): "password_hash: costs more than 256 MiB",
    hashed(f"$scrypt$ln=4194304,r=8,p=1$c2FsdA${B64}"): "password_hash: costs more than 256 MiB",
    hashed(f"$fbscrypt$v=1,n=20,r=8,p=1,ss=Bw==,sk={B64}$c2FsdA${B64}"): "password_hash: costs more than 256 MiB",
    hashed("scrypt:999:8:1$salt$" + "a" * 128): "password_hash: has a cost of scrypt that is no power of two",
    hashed(f"$scrypt$ln=99,r=8,p=1$c2FsdA${B64}"): "password_hash: costs more than 256 MiB",
    hashed("$argon2id$v=19$m=65536,t=3$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"): "password_hash: is not an encoded argon2 hash",
    hashed("$argon2id$v=19$m=4194304,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"): "password_hash: costs more than 256 MiB",
    hashed("$argon2id$v=19$m=65536,t=1000,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"): "password_hash: costs more than 256 MiB",
    hashed("$argon2id$v=19$m=65536,t=3,p=255$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"): "password_hash: costs more than 256 MiB",
    b'{"email": "x@example.com", "authenticator": "otpauth://totp/?secret=JBSWY3DPEHPK3PXP&digits=8"}': (
        "authenticator: makes codes of 8 digits, 30 seconds, SHA1; only 6 digits, 30 seconds, SHA1 work here"
    ),
    b'{"email": "x@example.com", "authenticator": 5}': "authenticator: should be a list",
    b'{"email": "x@example.com", "authenticator": [5]}': "authenticator: should be a list of texts",
    b'{"email": "x@example.com", "second_factor": ["authenticator"]}': "second_factor: authenticator and sms",
    b'{"email": "x@example.com", "second_factor": ["email"]}': "second_factor: authenticator and sms can be one",
    b'{"username": "xavi", "authenticator": "JBSWY3DPEHPK3PXP", "second_factor": ["authenticator"]}': (
        "second_factor: leaves nothing to sign in with first"
    ),
    json.dumps({"email": "x@example.com", "more_emails": [f"x{n}@example.com" for n in range(10)]}).encode(): (
        "more_emails: an account has at most 10 addresses"
    ),
    json.dumps({"email": "x@example.com", "authenticator": [f"JBSWY3DPEHPK3PX{x}" for x in "ABCDEF"]}).encode(): (
        "authenticator: an account has at most 5 apps"
    ),
    b'{"email": "x@example.com", "password_hmac": true}': "has password_hmac, and no password_hash",
    b'{"user_id": "auth0|1", "identities": [], "email": "x@example.com"}': "is an account of Auth0",
    b'{"traits": {}, "schema_id": "x"}': "is an account of Kratos; give --from kratos",
    b'{"realm": "r", "users": []}': "is a whole export of Keycloak; one account a line",
    b'{"encrypted_password": "", "email": "x@example.com"}': "is an account of Supabase",
    b'{"\\u0066s_uniquifier": "u", "email": "x@example.com"}': "is an account of Flask-Security",
    b'{"email": "\\ud800@example.com"}': "is not JSON",
    b'{"email": "\xff@example.com"}': "is not JSON",
    b"[" * 70_000: "is longer than 65536 bytes",
    b"[" * 60_000: "is a JSON array",
}


@pytest.mark.one_database
@pytest.mark.parametrize(("line", "reason"), BAD.items(), ids=BAD.values())
def test_invalid_line_is_reported_and_the_others_are_imported(operate, rows, line, reason):
    result = operate(*IMPORT, stdin=lines({"email": "ada@example.com"}, b"", line, {"email": "bea@example.com"}))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"line 3: {reason}")
    assert result.stdout == "2 opened, 0 there already, 1 refused.\n"
    assert emails(rows) == ["ada@example.com", "bea@example.com"]
    assert "hunter2" not in result.output


@pytest.mark.both_databases
def test_line_with_a_taken_email_is_rejected_and_the_others_are_imported(operate, rows):
    taken = {"email": "ada@example.com", "username": "xenia"}
    result = operate(*IMPORT, stdin=lines({"email": "ada@example.com"}, taken, {"email": "bea@example.com"}))
    assert result.exit_code == 1
    assert result.stderr == "line 2: email: line 1 has it too\n"
    assert result.stdout == "2 opened, 0 there already, 1 refused.\n"
    assert emails(rows) == ["ada@example.com", "bea@example.com"]


@pytest.mark.both_databases
def test_rejected_lines_can_be_saved_fixed_and_imported(operate, tmp_path):
    refused = tmp_path / "refused.jsonl"
    operate(*IMPORT, "--refused", str(refused), stdin=lines(b"oops", {"email": "ada@example.com"}, b'{"email": "x"}'))
    kept = [json.loads(line) for line in refused.read_bytes().splitlines()]
    assert kept == [
        {"reason": "is not JSON", "place": "line 1", "text": "oops"},
        {"reason": "email: An e-mail address has one @ and no spaces, commas or brackets.", "place": "line 3",
         "record": {"email": "x"}},
    ]  # fmt: skip
    assert refused.stat().st_mode & 0o777 == 0o600
    mended = refused.read_text().replace("oops", '{\\"username\\": \\"bea\\", \\"phone\\": \\"+16505551234\\"}')
    refused.write_text(mended.replace('"x"', '"cleo@example.com"'))
    result = operate("users", "import", str(refused))
    assert (result.exit_code, result.output) == (0, "2 opened, 0 there already, 0 refused.\n")


@pytest.mark.both_databases
def test_duplicate_account_in_a_file_is_rejected_regardless_of_batch(operate, rows, monkeypatch):
    """Also where the two are in different batches, and when it is run again."""
    ada = {"email": "ada@example.com"}
    told = "line 2: email: line 1 has it too\nline 3: email: line 1 has it too\n"
    for batch, counted in ((500, "1 opened, 0"), (1, "0 opened, 1"), (2, "0 opened, 1")):
        monkeypatch.setattr(account_creation, "BATCH", batch)
        result = operate(*IMPORT, stdin=lines(ada, {"email": "ADA@example.com"}, ada))
        assert (result.exit_code, result.stderr) == (1, told)
        assert result.stdout.startswith(counted)
    assert len(rows(User)) == 1


@pytest.mark.one_database
def test_file_with_bom_and_without_final_newline_is_imported(operate, rows, tmp_path):
    file = tmp_path / "people.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + b'{"email": "ada@example.com"}\r\n{"email": "bea@example.com"}')
    assert operate("users", "import", str(file)).exit_code == 0
    assert emails(rows) == ["ada@example.com", "bea@example.com"]


@pytest.mark.both_databases
def test_interrupted_import_can_be_resumed(app, operate, rows, monkeypatch):
    monkeypatch.setattr(account_creation, "BATCH", 10)

    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with app.app_context(), pytest.raises(KeyboardInterrupt):
        import_lines(many(35).splitlines(), lambda *refused: None, stop)
    assert len(rows(User)) == 10
    assert operate(*IMPORT, stdin=many(35)).stdout == "25 opened, 10 there already, 0 refused.\n"
    assert len(rows(User)) == len(rows(Enrollment)) == 35


@pytest.mark.both_databases
def test_email_taken_concurrently_does_not_affect_other_lines(operate, people, rows, monkeypatch):
    people.open("person1@example.com")
    looks = []

    def look(identities):
        looks.append(len(identities))
        return {} if len(looks) == 1 else real(identities)

    real = account_creation._owners
    monkeypatch.setattr(account_creation, "_owners", look)
    assert operate(*IMPORT, stdin=many(3)).stdout == "2 opened, 1 there already, 0 refused.\n"
    assert looks == [3, 3]
    assert len(rows(User)) == len(rows(Enrollment)) == 3


@pytest.mark.both_databases
def test_plain_passwords_are_hashed_and_hashes_are_kept(operate, app, rows):
    with app.app_context():
        from app.authenticators.password import hash_password

        made = hash_password("mind the old stairs")
    operate(*IMPORT, stdin=lines(
        {"email": "ada@example.com", "password": "leave by the back door"},
        {"email": "bea@example.com", "password_hash": made},
    ))  # fmt: skip
    first, second = rows(Enrollment, method="password")
    if first.user_id > second.user_id:
        first, second = second, first
    with app.app_context():
        assert accept(first, "leave by the back door")
        assert accept(second, "mind the old stairs")


@pytest.mark.both_databases
def test_import_takes_several_emails_and_authenticator_apps(operate, rows):
    """The first address is the primary one; apps of one account have different names."""
    result = operate(*IMPORT, stdin=lines({
        "email": "ada@example.com", "more_emails": ["Ada@work.example", "ada@EXAMPLE.com"],
        "authenticator": ["otpauth://totp/?secret=JBSWY3DPEHPK3PXP", "JBSW Y3DP EHPK 3PXA", "JBSWY3DPEHPK3PXP"],
        "second_factor": ["authenticator"],
    }))  # fmt: skip
    assert (result.exit_code, result.output) == (0, "1 opened, 0 there already, 0 refused.\n")
    assert {row.value: row.is_primary for row in rows(Identity)} == {"ada@example.com": True, "ada@work.example": False}
    apps = rows(Enrollment, method="authenticator")
    assert sorted((app.name, app.is_second, app.signs_in) for app in apps) == [
        ("", True, False),
        ("Authenticator app 2", True, False),
    ]
    (mail,) = rows(Enrollment, method="email")
    assert (mail.name, mail.is_second, mail.signs_in) == ("", False, None)


@pytest.mark.both_databases
def test_several_files_are_imported_as_one(operate, tmp_path):
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(many(2))
    second.write_bytes(many(3))
    result = operate("users", "import", str(first), str(second))
    assert result.stdout == "3 opened, 0 there already, 2 refused.\n"
    assert result.stderr.startswith(f"{second}: line 1: email: {first}: line 1 has it too\n")


def test_progress_is_shown_only_on_a_terminal(operate, monkeypatch, tmp_path):
    file = tmp_path / "people.jsonl"
    file.write_bytes(many(3))
    assert operate("users", "import", str(file)).stderr == ""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda stream: True, raising=False)
    monkeypatch.setattr(account_creation, "BATCH", 1)
    told = operate("users", "import", str(file)).stderr
    assert "Importing" in told
    assert "100%" in told


@pytest.mark.both_databases
@pytest.mark.long
def test_ten_thousand_accounts_take_less_than_twenty_seconds(operate, rows):
    people = [
        {"email": f"p{n}@example.com", "phone": f"+1650666{n:04}", "methods": ["email", "sms"]} for n in range(10_000)
    ]
    began = time.process_time()  # what we spend ourselves, however busy the machine is with other tests
    result = operate(*IMPORT, stdin=lines(*people))
    assert result.stdout == "10,000 opened, 0 there already, 0 refused.\n"
    assert time.process_time() - began < 20
    assert len(rows(Enrollment)) == 20_000
