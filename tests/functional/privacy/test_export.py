"""/my-data: an export of everything stored about a person, only for that person, without secrets."""

from __future__ import annotations

import base64
import csv
import io
import re
from datetime import timedelta

import pytest

from app.audit import Event
from app.privacy.models import Export, ExportChunk
from app.sessions.models import AuthSession, KnownDevice
from app.users import User
from tests.functional.privacy.conftest import archive, exported
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in

pytestmark = pytest.mark.both_databases


def test_export_can_be_requested_and_downloaded_when_ready(here, ada, work, mail_to):
    asked = here.post("/my-data/export")
    assert asked.ok
    waiting = here.get("/my-data")
    work()
    mail = mail_to(ada.email)
    ready = here.get("/my-data")
    if here.language == "json":
        assert [waiting.json["exports"][0]["state"], ready.json["exports"][0]["state"]] == ["waiting", "ready"]
    else:
        assert ("In progress" in waiting.text, "Ready" in ready.text) == (True, True)
    assert "http://localhost/my-data\n" in mail.text
    assert exported(here.get(path_in(ready)))["account"][0]["opened_at"]


def path_in(answer) -> str:
    """Return where the newest export that an answer lists is fetched."""
    if answer.language == "json":
        return f"/my-data/export/{answer.json['exports'][0]['id']}"
    return next(link for link in answer.page.links if link.startswith("/my-data/export/"))


def test_export_contains_all_data_and_describes_each_file(here, ada, export, mail_to):
    here.elsewhere(address="198.51.100.7").post("/us-signin", identity=ada.email, passcode="00000000")
    code_in(send_code(here, ada, mail_to))
    found = archive(here.get(f"/my-data/export/{export(here).id}"))
    names = ["account", "codes", "events", "exports", "identities", "known_browsers", "messages", "methods", "sessions"]
    assert set(found.namelist()) >= {f"{name}.{kind}" for name in names for kind in ("json", "csv")} | {"README.txt"}
    text = found.read("README.txt").decode()
    assert [name for name in names if f"{name}.json, {name}.csv" not in text] == []
    assert b"198.51.100.7" in found.read("events.json")


def test_export_contains_the_display_name(here, export):
    here.post("/identities/name", name="Ada Lovelace")
    assert exported(here.get(f"/my-data/export/{export(here).id}"))["account"][0]["name"] == "Ada Lovelace"


def test_export_contains_the_users_own_rows(here, ada, export, mail_to):
    send_code(here, ada, mail_to)
    kept = exported(here.get(f"/my-data/export/{export(here).id}"))
    assert {row["method"] for row in kept["methods"]} == {"email", "sms", "authenticator", "password"}
    assert {row["kind"]: row["value"] for row in kept["identities"]} == {"email": ada.email, "phone": ada.phone}
    assert [(row["kind"], row["to"], row["state"]) for row in kept["messages"]] == [("sign_in", ada.email, "sent")]
    assert kept["sessions"][0]["proved_by"] == "authenticator"
    assert "sign_in.succeeded" in {row["event"] for row in kept["events"]}
    assert kept["account"][0]["confirmed_at"].endswith("Z")


def test_export_contains_only_own_groups(app, here, ada, people, export):
    from app.extensions import db
    from app.groups import service

    eve = people.open(email="eve@example.com")
    with app.app_context():
        for name, title, person in (("media", "Films and music", ada), ("admins", "", ada), ("spies", "", eve)):
            service.create(name, title, by="operator")
            service.add_member(name, person.id, by="operator")
        service.add_member("media", eve.id, by="operator")
        db.session.commit()
    kept = exported(here.get(f"/my-data/export/{export(here).id}"))["groups"]
    assert {row["name"]: row["title"] for row in kept} == {"media": "Films and music", "admins": "admins"}
    assert all(row["added_at"].endswith("Z") for row in kept)
    assert len(kept) == 2


def test_export_lists_authenticator_apps_by_name_without_secrets(app, here, ada, export, rows):
    from app.authenticators.enrollments import enroll
    from app.enrollments.models import Enrollment
    from app.extensions import db

    with app.app_context():
        enroll(ada.id, "authenticator", name="Work phone")
        db.session.commit()
    path = f"/my-data/export/{export(here).id}"
    found, kept = archive(here.get(path)), exported(here.get(path))["methods"]
    assert {row["name"] for row in kept if row["method"] == "authenticator"} == {"Authenticator app", "Work phone"}
    secrets = [row.secret.encode() for row in rows(Enrollment)]
    assert not any(secret in found.read(name) for name in found.namelist() for secret in secrets)


def send_code(wire, person, mail_to):
    """Send someone a code requested from elsewhere; return the email."""
    wire.elsewhere().post("/us-signin/send-code", identity=person.email, chosen_method="email")
    return mail_to(person.email)


def test_export_contains_no_secrets_and_no_data_of_others(here, ada, people, export, mail_to, database, rows):
    code = code_in(send_code(here, ada, mail_to))
    people.open(email="eve@example.com")
    found = archive(here.get(f"/my-data/export/{export(here).id}"))
    text = b"".join(found.read(name) for name in found.namelist()).decode()
    secrets = [code, ada.authenticator, ada.password, "eve@example.com", "argon2", "v1.", *here.cookies.values()]
    for row in database.query("SELECT secret FROM enrolled_method"):
        secrets += row
    for row in database.query("SELECT id, subject, binding, asked_as, tag FROM challenge"):
        secrets += filter(None, row)
    secrets += [each for row in rows(AuthSession) for each in (row.digest, row.session_id)]
    secrets += [each for row in rows(KnownDevice) for each in (row.id, row.browser) if each]
    assert [secret for secret in secrets if secret in text] == []


SECRET = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}|v1\..+|\$argon2.+|[\w-]{43}")
"""What an id, a digest, a sealed text, a hash and a token look like."""


def test_export_contains_no_secret_like_value_of_any_table(app, json_wire, ada, program, export, database, rows):
    have_everything(app, ada)
    give_token(program, ada)
    program.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    found = archive(sign_in(json_wire, ada).get(f"/my-data/export/{export(json_wire).id}"))
    text = b"".join(found.read(name) for name in found.namelist()).decode()
    rows_of_all = [row for table in database._tables for row in database.query(f'SELECT * FROM "{table}"')]
    texts = {value for row in rows_of_all for value in row if isinstance(value, str)}
    secret = {value for value in texts if SECRET.fullmatch(value)}
    assert len(secret) > 30
    assert [value for value in secret - {rows(User)[0].handle} if value in text] == []


def have_everything(app, person) -> None:
    """Give someone rows in the tables that signing in doesn't fill."""
    from app.authenticators import recovery_codes
    from app.extensions import db
    from app.sessions import api_tokens

    with app.app_context():
        recovery_codes.store(person.id, recovery_codes.generate(), "f" * 32)
        api_tokens.issue(person.id, "Backup", ["read"], timedelta(days=9), "f" * 32)
        db.session.commit()


def test_stored_export_is_encrypted(here, export, database):
    export(here)
    sealed = "".join(row[0] for row in database.query("SELECT sealed FROM export_chunk"))
    assert sealed.startswith("v1.")
    assert base64.b64encode(b"PK\x03\x04").decode().rstrip("=") not in sealed, "how every archive begins"
    assert "ada@example.com" not in sealed


def test_csv_cells_are_not_formulas(here, ada, export, database):
    database.query(
        f"UPDATE event SET support_id = '=cmd|calc!A0', address = '@SUM(1)' WHERE user_id = {ada.id} RETURNING id"
    )
    found = archive(here.get(f"/my-data/export/{export(here).id}"))
    rows = list(csv.DictReader(io.StringIO(found.read("events.csv").decode("utf-8-sig"))))
    assert {(row["support_id"], row["address"]) for row in rows if "calc" in row["support_id"]} == {
        ("'=cmd|calc!A0", "'@SUM(1)")
    }
    assert "'+16502530000" in found.read("identities.csv").decode("utf-8-sig")
    assert "'" not in found.read("identities.json").decode()


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1", "'=1"),
        (" =1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        ("\n=1", "'\n'=1"),
        ("Mozilla/5.0 (X11; rv:1)", "Mozilla/5.0 (X11; rv:1)"),
        ("x;=HYPERLINK(A1)", "x;'=HYPERLINK(A1)"),
        ("x; \t@SUM(1)", "x;' \t'@SUM(1)"),
        ("a-b@c", "a-b@c"),
        (-1, "'-1"),
    ],
)
def test_csv_cell_is_escaped_for_any_spreadsheet_separator(text, shown):
    from app.privacy.archive import cell

    assert cell(text) == shown


def test_export_is_an_uncached_zip_download(here, export):
    answer = here.get(f"/my-data/export/{export(here).id}")
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="my-data-')
    assert (answer.headers["Cache-Control"], answer.headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert int(answer.headers["Content-Length"]) == len(answer.response.get_data())


def test_export_requires_sign_in(wire):
    for answer in (wire.get("/my-data"), wire.post("/my-data/export"), wire.get(f"/my-data/export/{'0' * 32}")):
        assert answer.status == (401 if wire.language == "json" else 302)


@pytest.mark.parametrize("whose", ["another's", "nobody's", "no id", "NUL", "long"])
def test_export_of_another_user_or_an_unknown_one_returns_404(here, people, export, whose):
    eve = sign_in(here.elsewhere(), people.open(email="eve@example.com"))
    ids = {"another's": export(here).id, "nobody's": "0" * 32, "no id": "x", "NUL": "%00"}
    answer = eve.get(f"/my-data/export/{ids.get(whose, 'a' * 4000)}")
    assert (answer.status, answer.response.mimetype != "application/zip") == (404, True)
    assert ids["another's"] not in eve.get("/my-data").text


def test_requesting_and_downloading_require_reauthentication(here, export, clock, rows):
    made = export(here)
    clock.shift(301)
    for answer in (here.post("/my-data/export"), here.get(f"/my-data/export/{made.id}")):
        if here.language == "json":
            assert (answer.status, answer.json["reauth_required"]) == (401, True)
        else:
            assert answer.location == "/us-verify?next=%2Fmy-data"
    assert here.get("/my-data").ok
    assert len(rows(Export)) == 1


def test_api_client_downloads_the_export_with_its_token(program, ada, work, rows):
    give_token(program, ada)
    assert program.post("/my-data/export").ok
    work()
    assert exported(program.get(f"/my-data/export/{rows(Export)[0].id}"))["account"]


def test_second_export_is_rejected_while_one_is_pending(here, work, rows):
    assert here.post("/my-data/export").ok
    assert here.post("/my-data/export").codes == ["export_under_way"]
    assert len(rows(Export)) == 1


def test_exports_are_limited_to_three_a_day(here, ada, export, clock):
    for _ in range(3):
        export(here)
        clock.shift(60)
    answer = here.post("/my-data/export")
    assert (answer.status, answer.codes) == (429, ["too_many_requests"])
    assert 86000 < int(answer.headers["Retry-After"]) <= 86400
    clock.shift(int(answer.headers["Retry-After"]))
    assert sign_in(here, ada).post("/my-data/export").ok


def test_new_export_replaces_the_old_one(here, export, rows, clock):
    old = export(here)
    clock.shift(60)
    new = export(here)
    assert here.get(f"/my-data/export/{old.id}").status == 404
    assert here.get(f"/my-data/export/{new.id}").ok
    assert {chunk.export_id for chunk in rows(ExportChunk)} == {new.id}


def test_expired_export_is_deleted(app, here, ada, export, rows, clock):
    made = export(here)
    clock.shift(24 * 3600 + 1)
    prune(app)
    assert (rows(Export), rows(ExportChunk)) == ([], [])
    assert sign_in(here, ada).get(f"/my-data/export/{made.id}").status == 404


@pytest.mark.settings(export_keep=3600)
def test_expired_archive_is_deleted_but_still_counts_towards_the_limit(app, here, ada, export, rows, clock):
    made = export(here)
    clock.shift(3601)
    assert sign_in(here, ada).get(f"/my-data/export/{made.id}").status == 404
    prune(app)
    assert (len(rows(Export)), rows(ExportChunk)) == (1, [])


def prune(app) -> None:
    """Delete what is past its time, as the worker does."""
    from app.db.retention import registered_cleanups

    with app.app_context():
        for pruner in registered_cleanups():
            while pruner():
                pass


def test_deleting_the_account_deletes_its_exports(here, ada, export, rows, database):
    export(here)
    if database.kind == "sqlite":
        database._connection.execute("PRAGMA foreign_keys = ON")
    else:
        database._connection.execute("SET session_replication_role = origin")
    database._connection.execute(f'DELETE FROM "user" WHERE id = {ada.id}')
    database.disconnect()
    assert (rows(Export), rows(ExportChunk)) == ([], [])


def test_export_steps_are_listed_in_activity(here, export, rows):
    here.get(f"/my-data/export/{export(here).id}")
    names = ["export.requested", "export.ready", "export.fetched"]
    assert [row.name for row in rows(Event) if row.name.startswith("export")] == names
    assert "Data export downloaded" in here.get("/activity").text


def test_head_request_does_not_count_as_download(here, export, rows):
    assert here.send("HEAD", f"/my-data/export/{export(here).id}").status == 200
    assert rows(Event, name="export.fetched") == []


def test_requesting_an_export_requires_a_csrf_token(here, rows):
    assert here.post("/my-data/export", csrf=None).codes == ["csrf_token_missing"]
    assert rows(Export) == []


@pytest.mark.parametrize("path", ["export", "export/{}", "delete"])
def test_personal_token_cannot_export_or_delete_the_account(app, json_wire, ada, program, export, rows, path):
    from app.extensions import db
    from app.sessions import api_tokens

    made = export(sign_in(json_wire, ada))
    with app.app_context():
        program.token = api_tokens.issue(ada.id, "Backup", ["read", "manage"], timedelta(days=9), "f" * 32)[1]
        db.session.commit()
    ask = program.get if "{}" in path else program.post
    assert ask(f"/my-data/{path.format(made.id)}").status == 403
    assert json_wire.signed_in_as() == ada.email
