"""Upgrading to the next release, replica by replica, and rolling back: both work with the same schema."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.databases import ROOT, Database
from tests.factories import Person
from tests.faults.accounts import open_one
from tests.faults.conftest import PLAIN
from tests.faults.releases import next_release, release_before
from tests.faults.visitors import SESSION, Visitor, signed_in_visitor
from tests.serving import OURS, Server, environment_of, free_port

pytestmark = pytest.mark.both_databases

ADA = "ada@example.com"
PRODUCTION = {
    "LATCHKEY_ENVIRONMENT": "production",
    "LATCHKEY_PUBLIC_URL": "https://login.example.com",
    "LATCHKEY_MAIL_ALLOW_PLAINTEXT": "on",
    "LATCHKEY_MAIL_SENDER": "no-reply@example.com",
    "LATCHKEY_METHODS": "email",
}


@pytest.fixture
def serve(tmp_path, smtp, sms):
    """Starts releases: ``serve(directory, database)``. They are stopped after the test."""
    made: list[Server] = []

    def start(directory: Path, database: Database) -> Server:
        port = free_port()
        environment = environment_of(database, port, tmp_path, smtp, sms) | PLAIN
        made.append(Server(environment, tmp_path / f"{port}.log", port=port, workers=1, directory=directory))
        return made[-1].start()

    yield start
    for server in made:
        server.kill()


@pytest.fixture
def flask(tmp_path, smtp, sms):
    """Runs a command of a release, in production: ``flask(directory, database, "db", "upgrade")``."""

    def run(directory: Path, database: Database, *words: str) -> tuple[int, str]:
        environment = OURS | environment_of(database, 1, tmp_path, smtp, sms) | PRODUCTION
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *words]
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    return run


def take_session(visitor: Visitor, server: Server) -> Visitor:
    """Return the same browser at another server."""
    other = Visitor(server.url)
    other.cookies = {SESSION: visitor.cookies[SESSION]}
    return other


def test_this_release_runs_beside_the_next_one_on_its_schema(fresh_database, serve, flask, smtp, tmp_path):
    after = next_release(tmp_path / "next")
    open_one(fresh_database, email=ADA)
    assert flask(after.directory, fresh_database, "db", "upgrade")[0] == 0
    assert fresh_database.query("SELECT version_num FROM alembic_version") == [(after.head,)]
    newer, ours = serve(after.directory, fresh_database), serve(ROOT, fresh_database)
    assert "database.newer_than_release" in ours.output
    assert "database.newer_than_release" not in newer.output
    for here, there in ((newer, ours), (ours, newer)):
        assert take_session(signed_in_visitor(here.url, ADA, smtp), there).is_signed_in()


def test_multiple_authenticators_work_across_this_and_the_previous_release(fresh_database, serve, smtp, tmp_path):
    before = release_before(tmp_path / "before")
    directory, head = (before.directory, before.head) if before else (ROOT, "")
    first = open_one(fresh_database, email=ADA, methods=["email", "authenticator"])
    [(ours,)] = fresh_database.query("SELECT version_num FROM alembic_version")
    ready = serve(ROOT, fresh_database)
    here = Visitor(ready.url)
    assert here.sign_in(ADA, first.app_code(-1)).status == 200
    second = add_app(here, first)
    if before:
        fresh_database._connection.execute(f"UPDATE alembic_version SET version_num = '{head}'")
        fresh_database.disconnect()
    older = serve(directory, fresh_database)
    fresh_database._connection.execute(f"UPDATE alembic_version SET version_num = '{ours}'")
    fresh_database.disconnect()
    for person in (first, second):
        there, code = Visitor(older.url), person.app_code()
        assert there.sign_in(ADA, code).status == 200
        assert Visitor(older.url).sign_in(ADA, code).status == 400, "each once"
    third = add_app(there, first)
    assert Visitor(ready.url).sign_in(ADA, third.app_code(1)).status == 200


def add_app(visitor: Visitor, person: Person) -> Person:
    """Set up an app; return the person with its secret. The code of the previous step is used up."""
    begun = visitor.post("/us-setup", chosen_method="authenticator").json
    added = replace(person, authenticator=begun["authr_b32key"])
    assert visitor.post(f"/us-setup/{begun['state']}", passcode=added.app_code(-1)).status == 200
    return added


def test_db_upgrade_of_a_rolled_back_release_keeps_the_newer_schema(fresh_database, flask):
    fresh_database._connection.execute("UPDATE alembic_version SET version_num = '9999'")
    fresh_database.disconnect()
    status, said = flask(ROOT, fresh_database, "db", "upgrade")
    assert (status, "database.newer_than_release" in said) == (0, True), said
    assert fresh_database.query("SELECT version_num FROM alembic_version") == [("9999",)]


@pytest.mark.parametrize(
    ("revision", "what"),
    [("0029", "pending"), ("0007", "pending"), ("ffffffffffff", "another program or an unknown release")],
)
@pytest.mark.parametrize("command", [("worker",), ("serve", "--port", str(free_port()))], ids=lambda words: words[0])
def test_start_is_refused_on_an_outdated_or_unknown_schema(fresh_database, flask, command, revision, what):
    fresh_database._connection.execute(f"UPDATE alembic_version SET version_num = '{revision}'")
    fresh_database.disconnect()
    status, said = flask(ROOT, fresh_database, *command)
    assert status == 78
    assert what in said
    assert ("flask db upgrade" in said) == (what == "pending")
    assert ("0030" in said) == (what == "pending")


def test_previous_release_runs_on_this_releases_schema_beside_it(fresh_database, serve, smtp, tmp_path):
    before = release_before(tmp_path / "before")
    directory, head = (before.directory, before.head) if before else (ROOT, "")
    open_one(fresh_database, email=ADA)
    [(ours,)] = fresh_database.query("SELECT version_num FROM alembic_version")
    ready = serve(ROOT, fresh_database)
    if before:  # the one of 2026 refused tables newer than its own, so it is told that they are those
        fresh_database._connection.execute(f"UPDATE alembic_version SET version_num = '{head}'")
        fresh_database.disconnect()
    older = serve(directory, fresh_database)
    fresh_database._connection.execute(f"UPDATE alembic_version SET version_num = '{ours}'")
    fresh_database.disconnect()
    for here, there in ((ready, older), (older, ready)):
        assert take_session(signed_in_visitor(here.url, ADA, smtp), there).is_signed_in()
