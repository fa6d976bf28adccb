"""``flask db move``: moves to the other kind of database while the service serves reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from app import outbox
from app.audit import Event
from app.backup import builds, move, restore, service
from app.backup.faults import BackupError
from app.db import ServiceReadOnly, read_only
from app.extensions import db
from app.outbox.models import Message
from app.users import Identity, User
from tests.signed_in import sign_in
from tests.wire import Wire

pytestmark = [pytest.mark.usefixtures("quick_schema"), pytest.mark.both_databases]
OTHER = {"sqlite": "postgresql", "postgresql": "sqlite"}


@pytest.fixture
def target(databases, database):
    """An empty database of the other kind."""
    fresh = databases.fresh(OTHER[database.kind], migrated=False)
    yield fresh
    fresh.disconnect()


@pytest.fixture(autouse=True)
def _changes_again(app):
    """Make the database writable again after the test."""
    yield
    with app.app_context():
        move.make_writable()


@pytest.fixture
def meanwhile(monkeypatch):
    """Runs a function while rows are copied: ``meanwhile(look)``."""

    def run(look):
        real = builds.Build.verify

        def verify(self, *given):
            with ThreadPoolExecutor(1) as other:  # a request begins outside the command's context
                other.submit(look).result()
            return real(self, *given)

        monkeypatch.setattr(builds.Build, "verify", verify)

    return run


def ask(wire, email, **headers):
    """Request a code, which writes."""
    return wire.post("/us-signin/send-code", identity=email, chosen_method="email", **headers)


def test_move_serves_reads_rejects_writes_and_users_sign_in_afterwards(
    app, operate, people, target, meanwhile, make_app, wire, rows, clock
):
    ada = people.open("ada@example.com", methods=["email", "authenticator"])
    hers, other, seen = sign_in(wire, ada), wire.elsewhere(), []
    other.fetch_csrf()
    clock.shift(120)  # since then the session's last use would be noted

    def look():
        seen.extend([hers.get("/").status, hers.get("/sessions").status, other.get("/us-signin").status])
        seen.append(app.test_client().get("/readyz").status_code)
        seen.append(ask(other, ada.email))
        seen.append(other.post("/us-signin", identity=ada.email, passcode=ada.app_code()))

    meanwhile(look)
    result = operate("db", "move", target.url)
    assert result.exit_code == 0, result.output
    assert "set LATCHKEY_DATABASE_URL to the new one" in result.output
    *reads, asked, signed_in = seen
    assert reads == [200] * 4
    for answer in (asked, signed_in):
        assert answer.status == 503
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        if wire.language == "json":
            assert answer.codes == ["service_read_only"]
        else:
            assert "changes and new sign-ins have to wait" in answer.text
            assert "Try again in" in answer.text
    assert rows(Message) == []
    assert ask(Wire(app, "json"), ada.email).status == 503  # until it is restarted
    there = make_app(database_url=target.url)
    assert hers.signed_in_as() == ada.email
    moved = Wire(there, wire.language)
    assert moved.post("/us-signin", identity=ada.email, passcode=ada.app_code()).ok
    assert moved.signed_in_as() == ada.email


@pytest.mark.one_database
def test_sessions_and_pending_codes_survive_a_move(app, operate, people, target, make_app, mail_to):
    from tests.sinks import code_in

    ada, browser = people.open("ada@example.com"), Wire(app, "json")
    hers = sign_in(Wire(app, "json"), ada)
    ask(browser, ada.email)
    code = code_in(mail_to(ada.email))
    assert operate("db", "move", target.url).exit_code == 0
    there = make_app(database_url=target.url)
    for wire in (browser, hers):
        cookies = list(wire.client._cookies.values())
        wire.app, wire.client = there, there.test_client()
        for cookie in cookies:
            wire.client.set_cookie(cookie.key, cookie.value)
    assert hers.signed_in_as() == ada.email
    assert browser.post("/us-signin", identity=ada.email, passcode=code).ok


def test_worker_sends_nothing_during_a_move_and_queued_messages_move_along(
    app, operate, people, target, meanwhile, make_app, smtp, rows
):
    ada = people.open("ada@example.com")
    assert ask(Wire(app, "json"), ada.email).ok
    [message] = rows(Message)

    def work():
        with app.app_context():
            with pytest.raises(ServiceReadOnly):
                outbox.deliver(message.id)
            db.session.rollback()

    meanwhile(work)
    assert operate("db", "move", target.url).exit_code == 0
    assert smtp.mails == []
    there = make_app(database_url=target.url)
    with there.app_context():
        outbox.deliver(message.id)
        db.session.remove()
    assert len(smtp.mails) == 1


@pytest.mark.parametrize(
    ("step", "fault"), [("load", BackupError("struck by lightning")), ("replace_target", KeyboardInterrupt())]
)
def test_failed_or_interrupted_move_allows_writes_and_can_be_repeated(
    app, operate, people, target, monkeypatch, step, fault, make_app
):
    ada = people.open("ada@example.com")
    with monkeypatch.context() as patch:

        def fail(self, *given):
            raise fault

        for build in (builds.Build, builds.SqliteBuild, builds.PostgresqlBuild):
            patch.setattr(build, step, fail)
        assert operate("db", "move", target.url).exit_code == 1
    assert ask(Wire(app, "json"), ada.email).ok
    assert operate("db", "move", target.url).exit_code == 0
    with make_app(database_url=target.url).app_context():
        assert db.session.scalars(sa.select(Identity.value)).all() == ["ada@example.com"]
        db.session.remove()


def lapse(app):
    """Let the read-only period of the database end."""
    with app.app_context():
        db.session.execute(sa.text(f"UPDATE {read_only.TABLE} SET until = 1"))
        db.session.commit()


def test_killed_move_allows_writes_after_its_lease_expires(app, operate, people, target, meanwhile):
    ada = people.open("ada@example.com")
    with app.app_context():
        source = service.database_at(app.extensions["latchkey.settings"].database_url)
        with source.engine.connect() as connection:
            read_only.begin(
                connection, [table.name for table in service.tables.found_tables(connection)], read_only.LEASE
            )
    assert ask(Wire(app, "json"), ada.email).status == 503
    assert "Another move is under way" in operate("db", "move", target.url).output
    lapse(app)
    assert ask(Wire(app, "json"), ada.email).ok
    assert operate("db", "move", target.url).exit_code == 0


def test_move_fails_if_the_source_was_changed_meanwhile(app, operate, people, target, meanwhile, make_app):
    people.open("ada@example.com")

    def held_up():
        lapse(app)
        people.open("late@example.com")

    meanwhile(held_up)
    result = operate("db", "move", target.url)
    assert result.exit_code == 1
    assert "The source took changes meanwhile" in result.output
    assert restore.database_usage(service.database_at(target.url)).description == ""


def test_read_write_command_reopens_the_source_after_a_move(app, operate, people, target):
    ada = people.open("ada@example.com")
    assert operate("db", "move", target.url).exit_code == 0
    assert ask(Wire(app, "json"), ada.email).status == 503
    assert "accepts no changes: it was moved" in operate("doctor").output
    assert operate("db", "read-write").output == "The database accepts changes again.\n"
    assert ask(Wire(app, "json"), ada.email).ok
    assert operate("db", "read-write").output == "The database wasn't read-only.\n"
    assert "accepts no changes" not in operate("doctor").output


def test_move_requires_a_different_empty_database(app, operate, people, target, database):
    people.open("ada@example.com")
    assert "That is the database that the service uses" in operate("db", "move", database.url).output
    assert operate("db", "move", target.url).exit_code == 0
    assert operate("db", "read-write").exit_code == 0
    result = operate("db", "move", target.url)
    assert result.exit_code == 1
    assert "isn't empty: it has 1 account" in result.output


@pytest.mark.one_database
@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "postgresql://nobody@127.0.0.1:1/x", "mysql://x", ""]
)
def test_unusable_database_url_is_reported(operate, url, people, app):
    result = operate("db", "move", url)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.output.startswith("Error: ")


def test_backup_of_a_moved_database_can_be_restored(app, operate, people, target, tmp_path, database):
    ada = people.open("ada@example.com")
    assert operate("db", "move", target.url).exit_code == 0
    options = ["--native"] if database.kind == "sqlite" else []
    assert operate("backup", str(tmp_path / "backup"), *options).exit_code == 0
    assert operate("restore", str(tmp_path / "backup"), "--replace", "--yes").exit_code == 0
    assert ask(Wire(app, "json"), ada.email).ok


def test_read_only_database_rejects_all_writes(app, operate, people, target, rows):
    ada = people.open("ada@example.com")
    assert operate("db", "move", target.url).exit_code == 0
    with app.app_context():
        for table in db.metadata.sorted_tables:
            counted = sa.select(sa.func.count()).select_from(table)
            if db.session.scalar(counted):
                with pytest.raises(ServiceReadOnly):
                    db.session.execute(sa.delete(table))
                db.session.rollback()
        with pytest.raises(ServiceReadOnly):
            db.session.execute(sa.update(User).values(language="de"))
        db.session.remove()
    assert [user.id for user in rows(User)] == [ada.id]
    assert rows(Event) == rows(Event)
