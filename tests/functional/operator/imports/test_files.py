"""Compressed, differently encoded, truncated or unknown files: an error, never a traceback."""

from __future__ import annotations

import gzip
import json
import random

import pytest

from app.cli import account_creation
from app.enrollments.models import Enrollment
from app.groups.models import Group
from app.users import User
from tests.functional.operator.imports.conftest import PASSWORD, SECRET, SETTINGS, hashed, json_lines

pytestmark = [SETTINGS, pytest.mark.one_database]


def auth0(name: str, **more: object) -> dict[str, object]:
    return {"user_id": f"auth0|{name}", "email": f"{name}@example.com", "email_verified": True} | more


TWO = json_lines(auth0("ada"), auth0("bea"))
FORMS = {
    "lines": TWO.encode(),
    "array": json.dumps([auth0("ada"), auth0("bea")], indent=2).encode(),
    "array on one line": json.dumps([auth0("ada"), auth0("bea")]).encode(),
    "objects over several lines": "\n".join(json.dumps(auth0(name), indent=2) for name in ("ada", "bea")).encode(),
    "mark": b"\xef\xbb\xbf" + TWO.encode(),
    "CRLF": TWO.replace("\n", "\r\n").encode(),
    "UTF-16 of PowerShell": TWO.replace("\n", "\r\n").encode("utf-16"),
    "UTF-16 without a mark": TWO.encode("utf-16-le"),
    "UTF-16, the other way": b"\xfe\xff" + TWO.encode("utf-16-be"),
    "gzip": gzip.compress(TWO.encode()),
    "gzip of an array with a mark": gzip.compress(b"\xef\xbb\xbf" + json.dumps([auth0("ada"), auth0("bea")]).encode()),
    "gzip of long lines": gzip.compress(
        json_lines(auth0("ada", more="x" * 30_000), auth0("bea", more="y" * 30_000)).encode()
    ),
    "blank lines": f"\n\n{TWO}\n\n".encode(),
    "CSV": b"user_id,email,email_verified\r\nauth0|1,ada@example.com,true\r\nauth0|2,bea@example.com,true\r\n",
    "CSV with semicolons": b"user_id;email;email_verified\nauth0|1;ada@example.com;true\nauth0|2;bea@example.com;true",
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_every_supported_file_format_and_encoding_is_read(bring, accounts, content):
    result = bring("auth0", content)
    assert (result.exit_code, result.output) == (0, "2 opened, 0 there already, 0 refused.\n")
    assert list(accounts()) == ["ada@example.com", "bea@example.com"]


ARRAY = json.dumps([auth0("ada"), auth0("bea")]).encode()[:-1]
BREAKS_OFF = "account 3: the file breaks off or isn't JSON here"
DEEP = b'{"user_id":' + b"[" * 5000 + b"]" * 5000 + b"}\n"
ODD = {"user_id": [], "identities": {"a": 1}, "email": {}}
BROKEN = {
    "lines": (TWO.encode() + b'{"user_id": "auth0|x", "em', "line 3: is not JSON"),
    "array": (ARRAY + b', {"user_id": "auth0|x"', BREAKS_OFF),
    "array without end": (ARRAY, BREAKS_OFF),
    "array with nonsense": (ARRAY + b", oops]", BREAKS_OFF),
    "UTF-16": (TWO.encode("utf-16") + b'{\0"\0u', "line 3: is not JSON"),
    "no UTF-8": (
        TWO.encode() + b'{"email": "\xff@example.com"}',
        "line 3: is not JSON: it has bytes that are not UTF-8",
    ),
    "no UTF-8 in an array": (
        ARRAY + b', {"user_id": "x", "email": "\xff@example.com"}]',
        "account 3: email: This is not",
    ),
    "huge line": (TWO.encode() + b'{"user_id": "' + b"x" * 3_000_000 + b'"}\n', "line 3: is longer than 1048576 bytes"),
    "no object": (TWO.encode() + b"5\n", "line 3: is not a JSON object"),
    "list in a list": (ARRAY + b", [1]]", "account 3: is not a JSON object"),
    "a number beyond all bounds": (ARRAY + b', {"user_id": 1' + b"0" * 400 + b"}]", "account 3: has no email"),
    "deeper than anything": (TWO.encode() + DEEP, "line 3: is not JSON"),
    "another product's": (
        json_lines(auth0("ada"), auth0("bea"), {"traits": {}}).encode(),
        "line 3: is no account of Auth0",
    ),
    "odd shapes": (json_lines(auth0("ada"), auth0("bea"), ODD).encode(), "line 3: has no email, phone or username"),
}


HOSTILE = {
    "a number that crashes the parser": (b'{"user_id": ' + b"9" * 5000 + b"}]", "has a number of more than 4000"),
    "one across two reads": (
        b'{"user_id": "x", "pad": "' + b"x" * 62_000 + b'", "n": ' + b"9" * 5000 + b"}]",
        "has a number of more than 4000",
    ),
    "levels beyond all bounds": (b'{"user_id": ' + b"[" * 200_000, "is nested too deeply"),
    "levels with something closed on each": (b'{"user_id": ' + b"[[]," * 50_000, "is nested too deeply"),
    "too many levels to write again": (
        b'{"user_id": "x", "more": ' + b"[" * 1500 + b"]" * 1500 + b"}]",
        "is nested too deeply",
    ),
}


@pytest.mark.parametrize(("content", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_array_is_rejected_at_the_offending_account(bring, accounts, content, reason):
    result = bring("auth0", ARRAY + b", " + content)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"account 3: {reason}")
    assert result.stdout.endswith("2 opened, 0 there already, 1 refused.\n")
    assert list(accounts()) == ["ada@example.com", "bea@example.com"]


@pytest.mark.parametrize("begin", [b"[", b'{"realm": "r", "users": ['], ids=["array", "object"])
def test_gzip_with_an_oversized_account_is_rejected(bring, monkeypatch, begin):
    from app.cli.imports import files

    monkeypatch.setattr(files, "MAX_ACCOUNT_BYTES", 1024 * 1024)
    result = bring("keycloak", gzip.compress(begin + b'{"username": "' + b"x" * 3_000_000 + b'"}]'))
    assert "account 1: has more than 1 MiB in one account: nothing behind it was read" in result.stderr


@pytest.mark.parametrize(("content", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_record_is_reported_and_valid_ones_are_imported(bring, accounts, content, reason):
    result = bring("auth0", content)
    assert result.exit_code == 1
    assert result.stderr.startswith(reason)
    assert result.stdout.endswith("2 opened, 0 there already, 1 refused.\n")
    assert list(accounts()) == ["ada@example.com", "bea@example.com"]


WRONG = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty"),
    "custom dump": (b"PGDMP\x01\x0e\x00", "is pg_dump's custom format: pg_restore"),
    "ZIP": (b"PK\x03\x04\x14\x00", "is a ZIP archive"),
    "SQLite": (b"SQLite format 3\x00\x10", "is a SQLite database"),
    "PGP": (b"-----BEGIN PGP MESSAGE-----\n", "is encrypted with PGP"),
    "no text": (b"\x7fELF\x02\x01\x00\x00", "isn't a text file"),
    "not gzip at all": (b"\x1f\x8bnonsense", "is compressed with gzip, and damaged"),
    "prose": (b"Dear operator,\nplease find attached\n", "Error: There is no account"),
    "Keycloak": (b'{"realm": "r", "users": [{"username": "ada", "credentials": []}]}', "an export of Keycloak"),
    "Keycloak's users": (
        json.dumps([{"username": "ada", "enabled": True, "emailVerified": True}]).encode(),
        "looks like an export of Keycloak, not of Auth0. Nothing of it was read: give --from keycloak.",
    ),
    "Supabase": (b"id,email,encrypted_password\n1,ada@example.com,x\n", "looks like an export of Supabase"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG)
def test_file_of_another_kind_is_identified_and_rejected(bring, rows, content, reason):
    result = bring("auth0", content)
    assert result.exit_code == 1
    assert reason in result.stderr or reason == "Error: There is no account"
    assert "Traceback" not in result.output
    assert rows(User) == []


NONSENSE = [
    b"[]",
    b"{}",
    b"[1]",
    b'{"a": {"b": [',
    b"null",
    b"a,b\n1,2\n",
    b"--\nCOPY x (a) FROM stdin;\n1\t2\n",
    b"INSERT INTO x VALUES (1",
    b'{"users": 5, "identities": {}}',
    b"\xff\xff\xff",
    b'[{"model": 5, "fields": 5, "traits": 5, "username": {}}]',
    json.dumps(
        {"traits": [], "model": "auth.user", "pk": {}, "fields": {"password": [], "email": []}, "username": 1,
         "credentials": [5, {"type": "otp"}, {"type": "password"}], "enabled": 2, "fs_uniquifier": [],
         "encrypted_password": {}}
    ).encode(),
]  # fmt: skip


@pytest.mark.parametrize("product", ["auth0", "keycloak", "supabase", "kratos", "django", "flask-security"])
def test_nonsense_is_rejected_without_a_traceback(bring, rows, product):
    for content in NONSENSE:
        result = bring(product, content)
        assert result.exit_code == 1, content
        assert isinstance(result.exception, SystemExit), content
        assert result.stderr, content
        assert rows(User) == [], content


def test_truncated_gzip_imports_the_accounts_before_the_break(bring, rows):
    filler = [random.Random(number).randbytes(500).hex() for number in range(400)]
    people = json_lines(*(auth0(f"p{number}", filler=each) for number, each in enumerate(filler)))
    result = bring("auth0", gzip.compress(people.encode())[:-1000])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].endswith(
        "the packed file is damaged or breaks off: nothing behind it was read"
    )
    assert len(rows(User)) > 300


def test_dry_run_reports_the_outcome_and_writes_nothing(bring, people, rows, monkeypatch):
    monkeypatch.setattr(account_creation, "BATCH", 2)
    people.open("old@example.com")
    everybody = [
        auth0("ada", app_metadata={"roles": ["staff"]}),
        auth0("old"),
        auth0("x", email="nonsense"),
        auth0("cleo"),
    ]
    twice = auth0("bea", email="ADA@example.com")
    before = len(rows(Enrollment))
    told = bring("auth0", json_lines(*everybody, twice), "--dry-run", "--create-groups")
    assert told.exit_code == 1
    assert told.stderr.splitlines() == [
        "line 3: email: An e-mail address has one @ and no spaces, commas or brackets.",
        "line 5: email: line 1 has it too",
    ]
    assert told.stdout.splitlines() == [
        "1 refused: email: An e-mail address has one @ and no spaces, commas or brackets.",
        "1 refused: email: another record has it too",
        "Would create groups: staff.",
        "Dry run, nothing was written: 2 opened, 1 there already, 2 refused.",
    ]
    assert (len(rows(User)), len(rows(Enrollment)), rows(Group)) == (1, before, [])
    done = bring("auth0", json_lines(*everybody, twice), "--create-groups")
    assert done.stdout.splitlines()[-1] == "2 opened, 1 there already, 2 refused."


def test_scattered_invalid_records_do_not_affect_the_others(bring, rows, tmp_path):
    """More than two batches: the good ones are in, the bad ones in the file, and it can be run again."""
    faults = (
        lambda n: '{"user_id": "auth0|x", "email": "broken\n',
        lambda n: json_lines(auth0(f"p{n}", email="no address")),
        lambda n: json_lines(auth0(f"P{n - 1}")),
        lambda n: json_lines(auth0(f"p{n}", passwordHash="nonsense")),
    )
    people = "".join(faults[n // 100 % 4](n) if n % 100 == 7 else json_lines(auth0(f"p{n}")) for n in range(1200))
    refused = tmp_path / "refused.jsonl"
    result = bring("auth0", people, ("--refused", refused))
    assert result.stdout.splitlines() == [
        "3 refused: is not JSON",
        "3 refused: email: An e-mail address has one @ and no spaces, commas or brackets.",
        "3 refused: email: another record has it too",
        "3 refused: password_hash: has no form that is known here",
        "1,188 opened, 0 there already, 12 refused.",
    ]
    assert [json.loads(line)["place"] for line in refused.read_text().splitlines()] == [
        f"line {n + 1}" for n in range(7, 1200, 100)
    ]
    assert len(rows(User)) == 1188
    assert bring("auth0", people).stdout.endswith("0 opened, 1,188 there already, 12 refused.\n")
    assert bring("auth0", refused, "--skip-unreadable").stdout.endswith("3 opened, 3 there already, 6 refused.\n")


def test_duplicate_phone_number_is_rejected(bring, accounts):
    people = [auth0("ada", phone_number="+16505551234", phone_verified=True),
              auth0("bea", phone_number="+1 650-555-1234", phone_verified=True)]  # fmt: skip
    for options in (["--dry-run"], []):
        assert bring("auth0", people, *options).stderr == "account 2: phone: account 1 has it too\n"
    assert list(accounts()) == ["ada@example.com"]


def test_rejected_records_can_be_fixed_and_reimported(bring, enter, accounts, tmp_path):
    refused = tmp_path / "refused.jsonl"
    people = json_lines(
        auth0("ada"),
        auth0("bea", email="bea@@example.com", passwordHash=hashed()),
        '{"user_id": "auth0|c", "email": oops}',
    )
    bring("auth0", people, ("--refused", refused))
    kept = [json.loads(line) for line in refused.read_text().splitlines()]
    assert [(each["place"], each["reason"][:20]) for each in kept] == [
        ("line 2", "email: An e-mail add"),
        ("line 3", "is not JSON"),
    ]
    again = bring("auth0", refused, ("--refused", tmp_path / "again.jsonl"))
    assert again.stdout.endswith("0 opened, 0 there already, 2 refused.\n")
    assert [json.loads(line)["reason"] for line in (tmp_path / "again.jsonl").read_text().splitlines()] == [
        each["reason"] for each in kept
    ]
    kept[0]["record"]["email"] = "bea@example.com"
    kept[1]["text"] = '{"user_id": "auth0|c", "email": "cleo@example.com"}'
    refused.write_text(json_lines(*kept))
    assert bring("auth0", refused).output == "2 opened, 0 there already, 0 refused.\n"
    assert enter("bea@example.com", PASSWORD) == "bea@example.com"


def test_rejected_csv_rows_can_be_fixed_and_reimported(bring, accounts, tmp_path):
    refused = tmp_path / "refused.jsonl"
    result = bring(
        "auth0", "user_id,email\nauth0|1,ada@example.com,x\nauth0|2,bea@example.com\n", ("--refused", refused)
    )
    assert result.stderr == "line 2: has 3 values for 2 columns\n"
    refused.write_text(refused.read_text().replace(",x", ""))
    assert bring("auth0", refused).exit_code == 0
    assert sorted(accounts()) == ["ada@example.com", "bea@example.com"]


def test_refused_option_cannot_overwrite_the_input_file(bring, tmp_path):
    file = tmp_path / "people.jsonl"
    file.write_text(TWO)
    result = bring("auth0", file, ("--refused", file))
    assert "is read by this import" in result.stderr
    assert file.read_text() == TWO
    assert "--refused" in bring("auth0", TWO, ("--refused", tmp_path / "nowhere" / "x")).stderr


def test_settings_that_disable_imported_methods_are_reported(bring, make_app, operate, tmp_path):
    file = tmp_path / "people.json"
    file.write_text(json.dumps([auth0("ada", passwordHash=hashed(), mfa_factors=[{"totp": {"secret": SECRET}}])]))
    other = make_app(methods=["email"], second_factor="off")
    told = operate("users", "import", "--from", "auth0", str(file), "--dry-run", on=other).stdout
    assert "1 account with password: LATCHKEY_METHODS doesn't name it, so it works nowhere yet." in told
    assert "1 account with authenticator: LATCHKEY_METHODS doesn't name it" in told
    assert "1 account with a second step: LATCHKEY_SECOND_FACTOR is off, so none is asked for it." in told


def test_row_rejected_by_the_database_does_not_affect_others(bring, accounts, monkeypatch):
    from sqlalchemy.exc import DataError

    real = account_creation._insert

    def insert(drafts, hashes):
        if any(draft.identities[0].value == "bea@example.com" for draft in drafts.values()):
            raise DataError("INSERT", {}, Exception("no"))
        return real(drafts, hashes)

    monkeypatch.setattr(account_creation, "_insert", insert)
    result = bring("auth0", json_lines(auth0("ada"), auth0("bea"), auth0("cleo"), auth0("ada", user_id="x")))
    assert result.stderr.splitlines() == [
        "line 2: the database refuses it (DataError)",
        "line 4: email: line 1 has it too",
    ]
    assert list(accounts()) == ["ada@example.com", "cleo@example.com"]


def test_file_of_another_product_is_recognized_without_from_option(bring):
    everything = [{"model": "auth.user", "pk": 1, "fields": {"password": "", "email": "ada@example.com"}}]
    assert "looks like an export of Django: give --from django." in bring("", everything).stderr


def test_large_file_is_streamed(bring, monkeypatch):
    """What is read ahead of the batch that is opened is some kilobytes, however long the file is."""
    import tracemalloc

    from app.cli.imports import run as run_module

    monkeypatch.setattr(run_module.Import, "import_batch", lambda self, records: None)
    people = json.dumps([auth0(f"p{number}", filler="x" * 2000) for number in range(10_000)]).encode()
    tracemalloc.start()
    bring("auth0", people)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(people) > 20_000_000
    assert most < 10_000_000


@pytest.mark.parametrize(
    ("inside", "said"),
    [("{deep}", "line 1: is nested too deeply"), ('"{deep}"', "")],
    ids=["as JSON", "as text"],
)
def test_deeply_nested_record_is_rejected_without_a_traceback(bring, inside, said):
    deep = inside.format(deep="[" * 1000 + "]" * 1000)
    fields = f'"email": "ada@example.com", "password": "!", "groups": {deep}'
    result = bring("django", f'{{"model": "auth.user", "pk": 1, "fields": {{{fields}}}}}\n'.encode())
    assert (result.exit_code, result.stderr.strip()) == (1 if said else 0, said)


def test_control_characters_of_a_file_are_not_printed(bring):
    secret = {"value": "YWFh", "salt": "YmJi"}
    clears = {"algorithm": "\x1b[2Jx\u202e", "hashIterations": 1}
    password = {"type": "password", "credentialData": json.dumps(clears), "secretData": json.dumps(secret)}
    ada = {"username": "ada", "email": "ada@example.com", "enabled": True, "credentials": [password]}
    for option in ([], ["--skip-unreadable"]):
        result = bring("keycloak", json.dumps([ada]).encode(), *option)
        assert "\ufffd[2Jx\ufffd" in result.output
        assert not {"\x1b", "\u202e"} & set(result.output)
    result = bring("", json.dumps({"email": "ada@example.com", "groups": ["\x1b[2Jstaff"]}).encode())
    assert "\x1b" not in result.output
