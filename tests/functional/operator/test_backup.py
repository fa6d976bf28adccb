"""``flask backup`` and ``flask restore``: everything is restored, on either kind of database."""

from __future__ import annotations

import os
import re
import resource
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from app.audit import Event, record
from app.authenticators.models import KeyAnnouncement, Passkey
from app.backup import builds, envelope, service
from app.backup import databases as backup_databases
from app.backup.faults import BackupError
from app.challenges.models import Challenge
from app.crypto.encryption import KeyRing
from app.extensions import db
from app.oidc.models import OAuthClient
from app.outbox.models import Message
from app.privacy.models import Deletion
from app.recovery.models import Recovery
from app.sessions.models import AuthSession
from app.users import Identity, User
from tests.authenticators import Device
from tests.databases import KINDS
from tests.functional.operator.conftest import NEW_KEY, OLD_KEY, OLD_TOOLS
from tests.functional.passkeys.conftest import asked
from tests.invitations import invite
from tests.signed_in import sign_in
from tests.wire import Wire

PASSWORD = "correct horse battery staple"
OTHER = {"sqlite": "postgresql", "postgresql": "sqlite"}
METHODS = ["email", "authenticator", "password"]
pytestmark = [pytest.mark.usefixtures("quick_schema"), pytest.mark.both_databases]
passwords = pytest.mark.settings(methods=METHODS)


@pytest.fixture
def file(tmp_path) -> Path:
    """The path of a backup."""
    return tmp_path / "latchkey.backup"


@pytest.fixture
def backed_up(operate, file):
    """Creates a backup: ``backed_up("--native")`` returns its file."""

    def make(*options: str, on=None) -> Path:
        result = operate("backup", str(file), *options, on=on)
        assert result.exit_code == 0, result.output
        return file

    return make


@pytest.fixture
def elsewhere(databases, make_app):
    """Creates an application on an empty database: ``elsewhere("postgresql")``."""
    made = []

    def make(kind, **settings):
        fresh = databases.fresh(kind)
        made.append(fresh)
        return make_app(database_url=fresh.url, **settings)

    yield make
    for each in made:
        each.disconnect()


def manifest_of(file: Path) -> dict:
    """Return what anyone can read in a backup."""
    return orjson.loads(file.read_bytes().split(b"\n")[1])


def read_in(app, statement):
    """Return the rows of a statement, from the database of ``app``."""
    with app.app_context():
        try:
            return db.session.execute(statement).all()
        finally:
            db.session.remove()


def refused(result) -> str:
    """Return the error message of a command. Raises AssertionError if it didn't fail like this."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    return result.output


# --- there again --------------------------------------------------------------------------------


@passwords
@pytest.mark.parametrize("goal", KINDS)
def test_users_sign_in_after_a_restore_to_either_database(
    app, operate, people, backed_up, elsewhere, clock, goal, database
):
    ada = people.open("ada@example.com", password=PASSWORD, methods=METHODS, second="authenticator")
    codes, phone = people.give_codes(ada), Device()
    hers = sign_in(Wire(app, "json"), ada, "webauthn,uv")
    options, state = asked(hers.post("/wan-register", usage="first"))
    assert hers.post(f"/wan-register/{state}", credential=phone.make(options)).ok
    there = elsewhere(goal, methods=METHODS)
    result = operate("restore", str(backed_up()), on=there)
    assert result.exit_code == 0, result.output
    assert re.match(r"Restored: 1 account, \d+ rows in \d+ tables, of 20", result.output)
    first = Wire(there, "json")
    assert first.post("/us-signin", identity=ada.email, passcode=PASSWORD).json["tf_method"] == "authenticator"
    assert first.post("/tf-validate", code=ada.app_code()).ok
    assert first.signed_in_as() == ada.email
    second = Wire(there, "json")
    assert second.post("/us-signin", identity=ada.email, passcode=PASSWORD).json["tf_required"]
    assert second.post("/mf-recovery", code=codes[0]).ok
    third = Wire(there, "json")
    options, state = asked(third.post("/wan-signin"))
    assert third.post(f"/wan-signin/{state}", credential=phone.sign(options)).ok
    assert third.signed_in_as() == ada.email
    assert not hers.elsewhere().signed_in_as()


@passwords
def test_users_sign_in_after_a_native_restore(operate, people, backed_up, elsewhere, database):
    ada = people.open("ada@example.com", password=PASSWORD, methods=METHODS)
    file = backed_up("--native")
    assert manifest_of(file)["content"] == {"sqlite": "sqlite", "postgresql": "pg_dump"}[database.kind]
    assert operate("backup", "check", str(file)).output.startswith("Sound: 1 account")
    there = elsewhere(database.kind, methods=METHODS)
    assert operate("restore", str(file), on=there).exit_code == 0
    assert Wire(there, "json").post("/us-signin", identity=ada.email, passcode=ada.app_code()).ok
    assert Wire(there, "json").post("/us-signin", identity=ada.email, passcode=PASSWORD).ok


AWKWARD = "tab\t, \\N, \\., new\nline, \r, 'quote', \"double\", {brace, e\u0301, \U0001f511, \u202e"
MOMENT = datetime(2026, 3, 1, 23, 59, 59, 987654, tzinfo=UTC)


def fill_with_every_type(app, people):
    """Store rows with values of every type and unusual values; return what ``read_every_type`` reads."""
    ada = people.open("ada@example.com")
    key = bytes(range(256))
    with app.app_context():
        db.session.add(
            Passkey(user_id=ada.id, credential_id="c" * 1368, public_key=key, sign_count=2**40, transports="",
                    backup_eligible=True, backup_state=False, aaguid="", name=AWKWARD[:64], usage="first",
                    discoverable=None, verified=True, session_id="f" * 32, created_at=MOMENT, last_used_at=None)
        )  # fmt: skip
        db.session.add(OAuthClient(id=AWKWARD, source="cli", registered={"long": AWKWARD * 3000, "n": [1.5, None]},
                                   created_at=MOMENT.replace(microsecond=0), updated_at=MOMENT))  # fmt: skip
        db.session.commit()


def read_every_type(app):
    passkeys = sa.select(*Passkey.__table__.columns)
    clients = sa.select(*OAuthClient.__table__.columns)
    return read_in(app, passkeys), read_in(app, clients)


@pytest.mark.parametrize("goal", KINDS)
def test_restore_preserves_every_type_and_awkward_values(app, operate, people, backed_up, elsewhere, goal):
    fill_with_every_type(app, people)
    there, first = elsewhere(goal), manifest_of(backed_up())
    result = operate("restore", str(backed_up("--force")), "--keep-sessions", on=there)
    assert result.exit_code == 0, result.output
    assert read_every_type(there) == read_every_type(app)
    [passkey] = read_every_type(there)[0]
    assert passkey.created_at == MOMENT
    assert passkey.public_key == bytes(range(256))
    second = manifest_of(backed_up("--force", on=there))["tables"]
    assert set(second) == set(first["tables"])
    for name in set(second) - {"event"}:  # the restore itself is one
        assert second[name] == first["tables"][name] | {"columns": second[name]["columns"]}, name


def test_restore_never_reuses_user_ids(app, operate, people, backed_up, elsewhere, database):
    people.open()
    newest = people.open()
    with app.app_context():
        db.session.execute(sa.delete(User).where(User.id == newest.id))
        db.session.commit()
    there = elsewhere(OTHER[database.kind])
    assert operate("restore", str(backed_up()), on=there).exit_code == 0
    from tests.factories import People

    assert People(there).open("eve@example.com").id > newest.id
    with there.app_context():
        record("test")
        db.session.commit()


@pytest.mark.parametrize("option", ["", "--native"])
def test_backup_is_a_consistent_snapshot_under_concurrent_writes(
    operate, people, backed_up, elsewhere, monkeypatch, database, option
):
    people.open("ada@example.com")
    written, real = [], service._write_table

    def write_meanwhile(*given):
        if not written:
            written.append(people.open("late@example.com"))
        return real(*given)

    monkeypatch.setattr(service, "_write_table", write_meanwhile)
    file, there = backed_up(*filter(None, [option])), elsewhere(database.kind)
    assert operate("restore", str(file), on=there).exit_code == 0
    assert [value for (value,) in read_in(there, sa.select(Identity.value))] == ["ada@example.com"]
    assert written


# --- refused ------------------------------------------------------------------------------------

CUT = envelope.AREA + 100


def change_at(place):
    """Return what changes a byte of a backup."""

    def change(content: bytes) -> bytes:
        at = place % len(content)
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return change


def with_manifest(**changes):
    """Return what rewrites the manifest of a backup."""

    def change(content: bytes) -> bytes:
        line = content.split(b"\n")[1]
        new = orjson.dumps(orjson.loads(line) | changes)
        return (content[: envelope.AREA].replace(line, new)[: envelope.AREA]) + content[envelope.AREA :]

    return change


FAULTS = {
    "empty": (lambda content: b"", "is empty"),
    "text": (lambda content: b"hello\n", "isn't a Latchkey backup"),
    "sqlite": (lambda content: b"SQLite format 3\0" + bytes(5000), "is an SQLite database"),
    "pg_dump": (lambda content: b"PGDMP\x01\x0f\x00", "is a dump by pg_dump itself"),
    "script": (lambda content: b"-- PostgreSQL database dump\n", "Load it with psql"),
    "name alone": (lambda content: envelope.MAGIC, "its manifest can't be read"),
    "no manifest": (lambda content: envelope.MAGIC + b"[]\n", "its manifest can't be read"),
    "half a manifest": (lambda content: content[:200], "its manifest can't be read"),
    "manifest alone": (lambda content: content[: envelope.AREA], "was cut short"),
    "cut": (lambda content: content[:-1], "was cut short: its last byte is missing"),
    "longer": (lambda content: content + b"x", "what follows its end"),
    "changed": (change_at(CUT), "was changed or damaged: byte 65,536 or one after it"),
    "changed at its end": (change_at(-1), "was changed or damaged: byte 65,536 or one after it"),
    "seal of the manifest": (with_manifest(revision="0001"), "its manifest fails its integrity check"),
    "of others": (with_manifest(salt="ab" * 32), "its manifest fails its integrity check"),
    "no salt": (with_manifest(salt="zz"), "its manifest can't be read"),
    "no kid": (with_manifest(kid="00000000"), "encrypted with key 00000000, which isn't in LATCHKEY_SECRET_KEYS"),
    "a kid that commands the terminal": (with_manifest(kid="\x1b[2J"), "its manifest can't be read"),
    "other members": (with_manifest(extra=1), "its manifest can't be read"),
    "newer format": (with_manifest(format=2), "was made by a newer release (format 2, ours is 1)"),
}


@pytest.mark.one_database
@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_or_foreign_backup_is_rejected_with_its_reason(operate, people, backed_up, fault, app):
    change, sentence = FAULTS[fault]
    file = backed_up()
    people.open("ada@example.com")
    file.write_bytes(change(file.read_bytes()))
    for words in (("backup", "check"), ("restore", "--replace", "--yes")):
        assert sentence in refused(operate(*words, str(file)))
    assert [value for (value,) in read_in(app, sa.select(Identity.value))] == ["ada@example.com"]


@pytest.mark.one_database
def test_backup_sealed_under_a_missing_key_is_rejected(operate, backed_up, new_key_app, rotating_app):
    file = backed_up()
    assert f"is encrypted with key {KeyRing([OLD_KEY]).kid}, which isn't in LATCHKEY_SECRET_KEYS" in refused(
        operate("backup", "check", str(file), on=new_key_app)
    )
    assert operate("backup", "check", str(file), on=rotating_app).exit_code == 0


def test_backup_with_rows_sealed_under_a_missing_key_is_rejected(
    operate, people, backed_up, new_key_app, rotating_app, elsewhere, database
):
    people.open("ada@example.com")
    file = backed_up(on=rotating_app)  # sealed under the new key, its rows under the old one
    old = KeyRing([OLD_KEY]).kid
    assert f"Rows of the backup are encrypted with key {old}" in refused(operate("restore", str(file), on=new_key_app))
    assert manifest_of(file)["keys"] == sorted([old, KeyRing([NEW_KEY]).kid])
    there = elsewhere(database.kind, secret_keys=NEW_KEY)
    assert old in refused(operate("restore", str(file), on=there))
    assert read_in(there, sa.select(User.id)) == []


def sealed_anew(file: Path, app, **changes) -> None:
    """Change a backup's manifest, with a valid seal."""
    content = file.read_bytes()
    ring = app.extensions["latchkey.keyring"]
    with file.open("rb") as opened:
        manifest, _, _ = envelope.read_manifest(opened, "")
    for name, value in changes.items():
        setattr(manifest, name, value)
    import hashlib
    import hmac

    line = orjson.dumps(manifest)
    mac = hmac.new(envelope._keys(ring, manifest.kid, manifest.salt)[1], line, hashlib.sha256).hexdigest().encode()
    head = envelope.MAGIC + line + b"\n" + mac + b"\n"
    file.write_bytes(head.ljust(envelope.AREA, b"\n") + content[envelope.AREA :])


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("revision", "sentence"), [("9999", "The backup is of a newer release"), ("abc", "which no release of ours has")]
)
def test_backup_of_an_unknown_release_is_rejected(operate, app, backed_up, revision, sentence):
    file = backed_up()
    sealed_anew(file, app, revision=revision)
    assert sentence in refused(operate("restore", str(file)))
    assert sentence in refused(operate("backup", "check", str(file)))


def test_restore_with_rows_differing_from_the_manifest_changes_nothing(
    operate, app, people, backed_up, elsewhere, database
):
    people.open("ada@example.com")
    file = backed_up()
    tables = manifest_of(file)["tables"]
    tables["user"]["digest"] = "0" * 64
    sealed_anew(file, app, tables=tables)
    there = elsewhere(database.kind)
    assert "Table user has 1 rows, and its manifest says 1" in refused(operate("backup", "check", str(file)))
    assert "Table user has 1 rows after loading" in refused(operate("restore", str(file), on=there))
    assert read_in(there, sa.select(User.id)) == []
    assert_nothing_left(there)


def assert_nothing_left(app) -> None:
    """Check that a restore has left nothing beside the database."""
    url = app.extensions["latchkey.settings"].database_url
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        assert not [each.name for each in path.parent.iterdir() if each.name.startswith(".")]
    else:
        schemas = read_in(app, sa.text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'latchkey%'"))
        assert schemas == []


@pytest.mark.parametrize("step", ["load", "replace_target"])
def test_failed_restore_changes_nothing(operate, app, people, backed_up, monkeypatch, step):
    file = backed_up()
    ada = people.open("ada@example.com")
    before = read_in(app, sa.select(User.handle, User.created_at))

    def fail(self, *given):
        raise BackupError("struck by lightning")

    monkeypatch.setattr(builds.Build, step, fail)
    for build in (builds.SqliteBuild, builds.PostgresqlBuild):
        monkeypatch.setattr(build, step, fail)
    assert "struck by lightning" in refused(operate("restore", str(file), "--replace", "--yes"))
    assert read_in(app, sa.select(User.handle, User.created_at)) == before
    assert_nothing_left(app)
    assert Wire(app, "json").post("/us-signin/send-code", identity=ada.email, chosen_method="email").ok


# --- the file -----------------------------------------------------------------------------------


@pytest.mark.one_database
def test_backup_file_is_private_and_not_overwritten_without_force(operate, backed_up, file):
    old = os.umask(0)
    try:
        backed_up()
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    assert "exists. Choose another name, or replace it with --force" in refused(operate("backup", str(file)))
    assert file.read_bytes() == before
    backed_up("--force")
    assert file.read_bytes() != before
    assert "is a folder" in refused(operate("backup", str(file.parent), "--force"))
    assert "No such file or directory" in refused(operate("backup", "/no/such/place"))
    assert [each.name for each in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("option", ["", "--native"])
@pytest.mark.parametrize("existing", [False, True])
def test_full_disk_leaves_no_partial_backup_file(operate, people, file, option, existing):
    people.open("ada@example.com")
    if existing:
        file.write_bytes(b"what was there")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (envelope.AREA + 100, hard))
    try:
        result = operate("backup", str(file), "--force", *filter(None, [option]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "No room is left at" in refused(result)
    assert "Nothing was written" in result.output
    assert [(each.name, each.read_bytes()) for each in file.parent.iterdir()] == [
        (file.name, b"what was there")
    ] * existing


@pytest.mark.one_database
def test_backup_and_restore_work_through_stdout_and_stdin(operate, people, elsewhere):
    people.open("ada@example.com")
    made = operate("backup", "-")
    assert made.exit_code == 0
    assert made.stdout_bytes.startswith(envelope.MAGIC)
    assert made.stderr.startswith("Backed up: 1 account")
    there = elsewhere("sqlite")
    assert operate("restore", "-", on=there, stdin=made.stdout_bytes).exit_code == 0
    assert "The backup on standard input is empty" in refused(operate("backup", "check", "-", stdin=b""))
    assert read_in(there, sa.select(Identity.value)) == [("ada@example.com",)]


def test_manifest_is_readable_without_key_but_the_content_is_not(people, backed_up, database):
    people.open("ada@example.com", username="adalovelace")
    content = backed_up().read_bytes()
    manifest = manifest_of(backed_up("--force"))
    assert manifest["database"] == database.kind
    assert manifest["tables"]["user"]["rows"] == 1
    assert re.fullmatch(r"[0-9a-f]{64}", manifest["tables"]["user"]["digest"])
    assert manifest["revision"]
    assert manifest["created_at"]
    assert manifest["server"]
    assert b"adalovelace" not in content


# --- pg_dump ------------------------------------------------------------------------------------


@pytest.mark.one_database
def test_native_backup_requires_recent_pg_dump_and_pg_restore(operate, elsewhere, file, monkeypatch):
    there = elsewhere("postgresql")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        said = refused(operate("backup", str(file), "--native", on=there))
        assert "pg_dump isn't in PATH. Install" in said
        assert "leave out --native" in said
        patch.setenv("PATH", str(OLD_TOOLS))
        assert "is older than the server" in refused(operate("backup", str(file), "--native", on=there))
    assert not file.exists()
    assert operate("backup", str(file), "--native", on=there).exit_code == 0
    monkeypatch.setenv("PATH", str(OLD_TOOLS))
    said = refused(operate("restore", str(file), on=there))
    assert "pg_restore failed: pg_restore: error: unsupported version" in said
    assert_nothing_left(there)
    assert "which only PostgreSQL can load" in refused(operate("restore", str(file), on=elsewhere("sqlite")))


# --- over a living database ---------------------------------------------------------------------


def test_restore_over_existing_accounts_requires_replace_and_yes(app, operate, people, backed_up):
    file = backed_up()
    people.open("ada@example.com")
    assert "The database has 1 account. Stop the service" in refused(operate("restore", str(file)))
    assert "--replace --yes" in refused(operate("restore", str(file), "--replace"))
    assert len(read_in(app, sa.select(User.id))) == 1
    assert operate("restore", str(file), "--replace", "--yes").exit_code == 0
    assert read_in(app, sa.select(User.id)) == []
    [(facts,)] = read_in(app, sa.select(Event.facts))
    assert facts["rows"] == sum(table["rows"] for table in manifest_of(file)["tables"].values())


@pytest.mark.one_database
def test_restore_over_a_database_without_accounts_needs_no_flag(app, operate, backed_up):
    from app.admin.models import AdminLink

    file = backed_up()
    with app.app_context():
        now = datetime.now(UTC)
        db.session.add(AdminLink(digest="d" * 64, expires_at=now))
        record("admin.link_made")
        db.session.commit()
    assert operate("restore", str(file)).exit_code == 0
    assert read_in(app, sa.select(AdminLink.digest)) == []


def test_restore_over_a_database_in_use_requires_replace_and_yes(app, operate, backed_up, clock):
    with app.app_context():
        db.session.add(KeyAnnouncement(id="p" * 32, kids="", seen_at=clock.now() - timedelta(seconds=20)))
        db.session.commit()
    file = backed_up()  # it has that row as well
    assert "The database has 1 process of the service using it" in refused(operate("restore", str(file)))
    result = operate("restore", str(file), "--replace", "--yes")
    assert "Restart every server and worker" in result.output
    assert read_in(app, sa.select(KeyAnnouncement.id)) == []


@pytest.mark.one_database
def test_ended_process_does_not_block_a_restore(app, operate, backed_up, clock):
    file = backed_up()
    with app.app_context():
        db.session.add(KeyAnnouncement(id="p" * 32, kids="", seen_at=clock.now() - timedelta(seconds=30)))
        db.session.commit()
    assert operate("restore", str(file)).exit_code == 0


def test_backup_of_an_older_release_is_migrated_on_restore(
    operate, backed_up, elsewhere, databases, make_app, database, monkeypatch
):
    from alembic import command

    from app.db import migrations

    old = databases.fresh(database.kind, migrated=False)
    before = make_app(database_url=old.url)
    with before.app_context():
        config = migrations.bound_to(before).get_config()
        with backup_databases.database_at(old.url).engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0050")
        with backup_databases.database_at(old.url).engine.connect() as connection:
            moment = "2026-01-02 03:04:05.000006" + ("" if database.kind == "sqlite" else "+00")
            connection.exec_driver_sql(
                f"INSERT INTO \"user\" (handle, language, created_at) VALUES ('{'h' * 32}', 'en', '{moment}')"
            )
    with monkeypatch.context() as patch:  # as that release did
        patch.setattr(service.tables, "require_this_release", lambda connection: "0050")
        patch.setattr(service, "keys_in_use", lambda connection: set())
        file = backed_up(on=before)
    old.disconnect()
    there = elsewhere(database.kind)
    assert operate("restore", str(file), on=there).exit_code == 0
    [(created_at,)] = read_in(there, sa.select(User.created_at))
    assert created_at == datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert operate("backup", str(file), "--force", on=there).exit_code == 0  # it is at the newest migration


@pytest.mark.one_database
@pytest.mark.parametrize("command", [("backup",), ("restore",)])
def test_backup_of_an_unmigrated_database_is_rejected_but_restore_into_it_works(
    operate, databases, make_app, file, command, app
):
    old = databases.fresh("postgresql", migrated=False)
    there = make_app(database_url=old.url)
    if command == ("restore",):
        assert operate("backup", str(file)).exit_code == 0
        assert operate("restore", str(file), on=there).exit_code == 0
    else:
        said = refused(operate("backup", str(file), on=there))
        assert "flask db upgrade" in said
    old.disconnect()


# --- what must not come back --------------------------------------------------------------------


@pytest.fixture
def restored(operate, backed_up, app):
    """Creates a backup and restores it over the same database."""

    def run(*options: str):
        result = operate("restore", str(backed_up("--force")), "--replace", "--yes", *options)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_queued_messages_are_abandoned_by_a_restore(app, people, restored, smtp, deliver, rows, operate):
    ada = people.open("ada@example.com")
    assert Wire(app, "json").post("/us-signin/send-code", identity=ada.email, chosen_method="email").ok
    assert "1 message that was waiting isn't sent" in restored()
    assert deliver() == []
    [message] = rows(Message)
    assert (message.state, message.last_error) == ("abandoned", "restored from a backup")
    assert operate("outbox", "retry", message.id).exit_code == 0
    assert deliver() == []  # its code has ended


@pytest.mark.one_database
def test_sign_in_link_is_invalid_after_a_restore(app, people, restored, deliver):
    from app.signin import sent_links

    ada = people.open("ada@example.com")
    with app.app_context():
        sent_links.send(db.session.get_one(User, ada.id), by="operator")
        db.session.commit()
    [link] = [found[0] for mail in deliver() if (found := re.search(r"/sign-in-link/\S+", mail.text))]
    assert Wire(app, "json").get(link).ok
    restored()
    assert Wire(app, "json").get(link).status == Wire(app, "json").post(link).status == 404


@pytest.mark.one_database
@pytest.mark.parametrize(("options", "status"), [([], 410), (["--keep-sessions"], 200)])
def test_invitation_is_revoked_by_a_restore_unless_sessions_are_kept(app, restored, options, status):
    link = invite(app)
    said = restored(*options)
    assert Wire(app, "json").get(link).status == status
    assert ("1 invitation was revoked" in said) == (status == 410)


@pytest.mark.one_database
def test_sign_in_code_is_invalid_after_a_restore(app, people, restored, mail_to, rows):
    from tests.sinks import code_in

    ada, browser = people.open("ada@example.com"), Wire(app, "json")
    browser.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    code = code_in(mail_to(ada.email))
    restored("--keep-sessions")
    assert browser.post("/us-signin", identity=ada.email, passcode=code).status == 400
    assert all(challenge.spent_at for challenge in rows(Challenge))


KEPT = {
    "address_change", "administrator", "bounce", "event", "export", "export_chunk", "group", "group_membership",
    "hook_token", "identity", "enrolled_method", "invitation_use", "oauth_client", "oauth_client_end",
    "oauth_client_origin", "oauth_client_resource", "oauth_consent", "oauth_document", "oauth_file_client", "oauth_key",
    "oauth_naming", "oauth_registration_token", "oauth_request", "oauth_used_proof", "passkey", "penalty",
    "recovery_code", "repeat", "send_window", "sns_document", "standing", "stat_hour", "suppression", "user",
    "webhook_endpoint",
}  # fmt: skip
"""Tables whose rows are as good after a restore as they were then; a new table stands here or is settled."""


@pytest.mark.one_database
def test_every_table_is_either_kept_or_handled_after_a_restore(app):
    from app.backup import restore

    named = [found for found in vars(restore).values() if isinstance(found, type)]
    settled = {model.__tablename__ for model in named if issubclass(model, db.Model)}
    assert set(db.metadata.tables) - settled == KEPT


@pytest.mark.one_database
@pytest.mark.parametrize("option", ["", "--keep-sessions"])
def test_restore_ends_sessions_unless_keep_sessions_is_given(app, people, restored, option):
    ada = people.open("ada@example.com")
    browser = sign_in(Wire(app, "json"), ada)
    assert browser.signed_in_as() == ada.email
    said = restored(*filter(None, [option]))
    assert browser.signed_in_as() == (ada.email if option else None)
    assert ("2 sessions were ended" in said) is not bool(option)


@pytest.mark.one_database
def test_restore_revokes_access_tokens_with_their_sessions(app, people, restored, rows):
    from tests.signed_in import give_token
    from tests.wire import Program

    program = give_token(Program(app), people.open("ada@example.com"))
    assert program.get("/sessions").ok
    restored()
    assert program.get("/sessions").status == 401
    assert all(session.revoked_at for session in rows(AuthSession))


def test_restore_cancels_recoveries_and_postpones_deletions(app, people, restored, rows, clock):
    ada, eve = people.open("ada@example.com"), people.open("eve@example.com")
    people.leave(ada)
    with app.app_context():
        now = clock.now()
        db.session.add(Recovery(user_id=eve.id, requested_at=now, ready_at=now, expires_at=now + timedelta(days=3),
                                address="", agent=""))  # fmt: skip
        db.session.commit()
    [before] = rows(Deletion)
    clock.shift(8 * 86400)
    said = restored()
    assert "1 account recovery was canceled" in said
    assert "1 account is erased later than planned" in said
    [deletion], [recovery] = rows(Deletion), rows(Recovery)
    assert recovery.cancelled_at is not None
    assert deletion.due_at >= clock.now() + timedelta(days=6)
    assert deletion.deletes_at == before.deletes_at  # the link that restores the account has it


CATALOG = {
    "sqlite": "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%'",
    "postgresql": """
        SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT 'function', proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'column', table_name || '.' || column_name,
            concat_ws(' ', data_type, character_maximum_length::text, is_nullable, column_default)
        FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT 'sequence', sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public'
    """,
}


def test_restored_schema_equals_migrated_schema(app, operate, backed_up, elsewhere, database):
    there = elsewhere(database.kind)
    before = set(map(tuple, read_in(there, sa.text(CATALOG[database.kind]))))
    assert operate("restore", str(backed_up()), on=there).exit_code == 0
    assert set(map(tuple, read_in(there, sa.text(CATALOG[database.kind])))) == before
    assert any(kind == "trigger" for kind, *_ in before)
