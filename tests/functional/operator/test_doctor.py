"""``flask doctor``: reports problems and how to fix them, correctly."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.enrollments.models import Enrollment
from app.extensions import db
from app.outbox.models import ABANDONED, Message
from tests.databases import KEY


def lines_on(result, subject: str) -> list[str]:
    """Return what was said of one subject, marks included."""
    return [line for line in result.stdout.splitlines() if line.split()[1:2] == [subject]]


def change(app, statement) -> None:
    with app.app_context():
        db.session.execute(statement)
        db.session.commit()


def message(clock, **different) -> Message:
    fields = {
        "kind": "sign_in",
        "channel": "mail",
        "to": "ada@example.com",
        "facts": {},
        "next_attempt_at": clock.now(),
    }
    return Message(**fields | different)


def post(app, row: Message) -> None:
    with app.app_context():
        db.session.add(row)
        db.session.commit()


@pytest.mark.both_databases
def test_healthy_service_passes_all_checks(operate, people, database):
    people.open()
    result = operate("doctor")
    assert result.exit_code == 0, result.stdout
    assert result.stdout.endswith("All is well.\n")
    assert {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[database.kind] in lines_on(result, "database")[0]
    for subject in ("settings", "database", "migrations", "keys", "mail", "sms", "queue", "redis", "outbox"):
        assert all(line.startswith("ok") for line in lines_on(result, subject)), result.stdout


def test_mail_server_down_is_reported(operate, smtp):
    smtp.down()
    result = operate("doctor")
    assert result.exit_code == 1
    assert "fix   mail" in result.stdout
    assert "LATCHKEY_MAIL_URL" in lines_on(result, "mail")[0]


def test_mail_server_is_not_required_in_development(operate, make_app):
    result = operate("doctor", on=make_app(mail_url=""))
    assert result.exit_code == 0, result.stdout
    assert lines_on(result, "mail")[0].startswith("ok")
    assert "/dev/inbox" in lines_on(result, "mail")[0]


def test_checking_mail_and_sms_sends_nothing(operate, smtp, sms):
    operate("doctor")
    assert (smtp.mails, sms.texts) == ([], [])


def test_sms_provider_down_is_reported(operate, sms):
    sms.down()
    assert lines_on(operate("doctor"), "sms")[0].startswith("fix")


@pytest.mark.both_databases
def test_sms_provider_rejecting_credentials_is_reported_until_it_accepts(operate, app, clock, sms):
    post(app, message(clock, channel="sms", to="+16502530000", last_error="provider refuses us (401)"))
    refused = operate("doctor")
    assert refused.exit_code == 1
    assert "provider refuses us (401)" in lines_on(refused, "sms")[1]
    assert "credentials" in refused.output
    sent = {"state": "sent", "sent_at": clock.now(), "next_attempt_at": None}
    post(app, message(clock, channel="sms", to="+16502530001", **sent))
    assert [line.split()[0] for line in lines_on(operate("doctor"), "sms")] == ["ok"]


@pytest.mark.both_databases
def test_schema_of_another_release_is_reported(operate, app, database):
    [(revision,)] = database.query("SELECT version_num FROM alembic_version")
    try:
        change(app, sa.text("DELETE FROM alembic_version"))
        older = operate("doctor")
        change(app, sa.text("INSERT INTO alembic_version VALUES ('ffffffffffff')"))
        foreign = operate("doctor")
        change(app, sa.text("UPDATE alembic_version SET version_num = '9999'"))
        newer = operate("doctor")
    finally:
        change(app, sa.text("DELETE FROM alembic_version"))
        change(app, sa.text("INSERT INTO alembic_version VALUES (:revision)").bindparams(revision=revision))
    assert (older.exit_code, foreign.exit_code, newer.exit_code) == (1, 1, 0)
    assert "flask db upgrade" in lines_on(older, "migrations")[0]
    assert "unknown release (revision ffffffffffff)" in lines_on(foreign, "migrations")[0]
    assert lines_on(newer, "migrations")[0].startswith("note")
    assert "newer release (revision 9999" in lines_on(newer, "migrations")[0]


@pytest.mark.both_databases
def test_missing_key_still_in_use_is_reported(operate, people, new_key_app):
    people.open()
    result = operate("doctor", on=new_key_app)
    assert result.exit_code == 1
    assert "1 row is encrypted with key" in lines_on(result, "keys")[0]


@pytest.mark.both_databases
def test_older_key_in_use_is_a_note(operate, people, rotating_app):
    people.open()
    result = operate("doctor", on=rotating_app)
    assert result.exit_code == 0
    assert any(line.startswith("note") and "flask keys rotate" in line for line in lines_on(result, "keys"))


@pytest.mark.both_databases
def test_tampered_sealed_text_is_reported(operate, people, app, rows):
    people.open()
    ring = app.extensions["latchkey.keyring"]
    change(app, sa.update(Enrollment).values(secret=ring.seal(b"x", "elsewhere")))
    result = operate("doctor")
    assert result.exit_code == 1
    assert "was changed or moved" in lines_on(result, "keys")[0]


@pytest.mark.both_databases
def test_overdue_messages_are_reported(operate, app, clock):
    post(app, message(clock))
    assert operate("doctor").exit_code == 0
    clock.shift(150)
    result = operate("doctor")
    assert result.exit_code == 1
    assert "due for 2 min -> Start a worker: flask worker" in lines_on(result, "outbox")[0]


@pytest.mark.both_databases
def test_abandoned_messages_are_a_note(operate, app, clock):
    post(app, message(clock, state=ABANDONED, next_attempt_at=None))
    result = operate("doctor")
    assert result.exit_code == 0
    assert "1 message was given up" in lines_on(result, "outbox")[0]


@pytest.mark.both_databases
def test_outdated_backup_is_a_note(operate, clock, tmp_path):
    assert "none is known;" in lines_on(operate("doctor"), "backups")[0]
    assert operate("backup", str(tmp_path / "monday")).exit_code == 0
    assert lines_on(operate("doctor"), "backups")[0].startswith("ok")
    clock.shift(2 * 86400 + 60)
    assert lines_on(operate("doctor"), "backups")[0].startswith("note")


def test_queue_and_redis_down_are_reported(operate, make_app):
    result = operate("doctor", on=make_app(queue_url="redis://127.0.0.1:1/0", redis_url="redis://127.0.0.1:1/0"))
    assert result.exit_code == 1
    assert lines_on(result, "queue")[0].startswith("fix")
    assert lines_on(result, "redis")[0].startswith("fix")


def test_database_down_is_reported_as_the_only_problem(operate, make_app):
    result = operate("doctor", on=make_app(database_url="postgresql://ada:s3same@127.0.0.1:1/latchkey"))
    assert result.exit_code == 1
    assert lines_on(result, "database")[0].startswith("fix")
    assert not lines_on(result, "keys")
    assert result.stdout.endswith("1 to fix.\n")
    assert "s3same" not in result.output


def test_command_reports_that_the_database_is_down(operate, make_app):
    result = operate("users", "list", on=make_app(database_url="postgresql://ada:s3same@127.0.0.1:1/latchkey"))
    assert result.exit_code == 1
    assert result.stderr == "Error: The database doesn't answer. Find out why: flask doctor\n"


def test_command_reports_missing_tables(operate, make_app, tmp_path):
    result = operate("users", "list", on=make_app(database_url=f"sqlite:///{tmp_path}/empty.db"))
    assert result.exit_code == 1
    assert "flask db upgrade" in result.stderr


def test_unknown_setting_is_a_note(operate, monkeypatch):
    monkeypatch.setenv("LATCHKEY_BRAND_NAMES", "Latchkey")
    result = operate("doctor")
    assert result.exit_code == 0
    assert "LATCHKEY_BRAND_NAMES is set, but there is no such setting" in lines_on(result, "settings")[0]


def test_doctor_shows_no_secrets(operate, make_app):
    app = make_app(mail_url="smtp://ada:s3same-open@127.0.0.1:1")
    shown = operate("doctor", on=app).output
    assert "s3same" not in shown
    assert KEY not in shown
