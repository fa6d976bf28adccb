"""Rejected starts of the command that operators use, and a developer's start without settings."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import KEY, ROOT
from tests.faults.accounts import open_one
from tests.faults.visitors import Visitor
from tests.serving import Server, free_port
from tests.sinks import until

pytestmark = pytest.mark.usefixtures("started_as_typed")

OTHER_KEY = "for-tests-alone-too-0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d"

PRODUCTION = {
    "PATH": os.environ["PATH"],
    "FLASK_SKIP_DOTENV": "1",  # this checkout may have a developer's files
    "LATCHKEY_SECRET_KEYS": KEY,
    "LATCHKEY_PUBLIC_URL": "https://login.example.com",
    "LATCHKEY_MAIL_URL": "smtps://mail.example.com",
    "LATCHKEY_MAIL_SENDER": "Latchkey <no-reply@example.com>",
}

WHAT_IS_INSTALLED = ("app", "config", "migrations", "wsgi.py", "openapi.yaml")


def refused(database, *options: str, **different: str | None) -> tuple[int, str]:
    """Start the production server; return its exit status and standard error."""
    values = PRODUCTION | {"LATCHKEY_DATABASE_URL": database.url} | different
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "serve", "--port", str(free_port()), *options]
    environment = {name: value for name, value in values.items() if value is not None}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert KEY not in done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.one_database
def test_first_migration_creates_the_database_directory(tmp_path):
    database = tmp_path / "var" / "latchkey.db"
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
    values = PRODUCTION | {"LATCHKEY_DATABASE_URL": f"sqlite:///{database}"}
    done = subprocess.run(command, cwd=ROOT, env=values, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert database.exists()


@pytest.mark.one_database
def test_start_without_a_secret_key_is_refused(fresh_database):
    status, said = refused(fresh_database, LATCHKEY_SECRET_KEYS=None)
    assert status == 78
    assert "LATCHKEY_SECRET_KEYS is not set" in said
    assert "openssl rand -hex 32" in said


@pytest.mark.one_database
def test_start_with_an_http_public_url_is_refused(fresh_database):
    status, said = refused(fresh_database, LATCHKEY_PUBLIC_URL="http://login.example.com")
    assert status == 78
    assert "LATCHKEY_PUBLIC_URL does not begin with https://" in said


@pytest.mark.both_databases
def test_start_with_pending_migrations_is_refused(database, databases):
    empty = databases.fresh(database.kind, migrated=False)
    status, said = refused(empty)
    assert status == 78
    assert "pending" in said
    assert "flask db upgrade" in said


@pytest.mark.both_databases
def test_start_without_the_key_that_encrypts_rows_is_refused(fresh_database):
    open_one(fresh_database, email="ada@example.com", methods=["email", "authenticator"])
    status, said = refused(fresh_database, LATCHKEY_SECRET_KEYS=OTHER_KEY)
    assert status == 78
    assert "2 rows" in said
    assert "end of LATCHKEY_SECRET_KEYS" in said
    assert OTHER_KEY not in said


@pytest.mark.one_database
def test_start_accepts_an_older_key_at_the_end_of_the_key_list(fresh_database, start):
    open_one(fresh_database, email="ada@example.com")
    server = start(fresh_database, LATCHKEY_SECRET_KEYS=f"{OTHER_KEY},{KEY}")
    assert Visitor(server.url).send_code("ada@example.com").status == 200


@pytest.mark.one_database
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_development_server_refuses_to_listen_beyond_localhost(fresh_database, host):
    development = {"LATCHKEY_ENVIRONMENT": "development", "LATCHKEY_PUBLIC_URL": None}
    status, said = refused(fresh_database, "--host", host, **development)
    assert status == 78
    assert f"does not listen at {host}" in said
    for remedy in ("--host 127.0.0.1", "LATCHKEY_ENVIRONMENT=production", "--network host", "docker-compose.yml"):
        assert remedy in said


@pytest.mark.one_database
@pytest.mark.parametrize(("make", "remedy"), [(None, "--port {}"), ("1", "PORT={} make run")], ids=["flask", "make"])
def test_start_on_a_port_in_use_suggests_another_port(fresh_database, make, remedy):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, said = refused(fresh_database, "--port", str(port), MAKELEVEL=make)
    assert status == 69
    assert f"port {port} is in use" in said
    assert said.rstrip().endswith(remedy.format(port + 1))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A new checkout."""
    for name in WHAT_IS_INSTALLED:
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def sound_for(checkout: Path, **environment: str) -> str:
    """Return the first lines of ``flask doctor`` in ``checkout``."""
    command = [sys.executable, "-m", "flask", "doctor"]
    environment = {"PATH": os.environ["PATH"]} | environment
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


def test_commands_use_the_development_environment_after_make_run(checkout: Path):
    assert "LATCHKEY_SECRET_KEYS is not set" in sound_for(checkout)  # production
    made = ["make", "--makefile", str(ROOT / "Makefile"), ".flaskenv"]
    subprocess.run(made, cwd=checkout, check=True, capture_output=True)
    assert "valid, for development" in sound_for(checkout)
    assert "LATCHKEY_SECRET_KEYS is not set" in sound_for(checkout, LATCHKEY_ENVIRONMENT="production")
    (checkout / ".env").write_text("LATCHKEY_ENVIRONMENT=production\n")
    assert "LATCHKEY_SECRET_KEYS is not set" in sound_for(checkout)


def test_development_server_starts_without_any_configuration(tmp_path: Path):
    for name in WHAT_IS_INSTALLED:
        take = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        take(ROOT / name, tmp_path / name)
    server = Server({"LATCHKEY_ENVIRONMENT": "development"}, tmp_path / "log", directory=tmp_path)
    home = f"http://localhost:{server.port}"
    try:
        server.start()
        assert f"Open {home}, mail at {home}/dev/inbox." in server.output
        assert (
            f"No account yet. Sign up, then become the administrator here, within 15 minutes: {home}/admin/first?"
            in (server.output)
        )
        assert '{"' not in server.output
        assert (tmp_path / "var" / "latchkey.db").stat().st_size > 0
        assert (tmp_path / "var" / "dev-secrets").stat().st_mode & 0o777 == 0o600
        visitor = Visitor(server.url)
        assert visitor.post("/register", email="ada@example.com").status == 200
        until(lambda: b"ada@example.com" in visitor.get("/dev/inbox").body, 10)
        [mail] = visitor.get("/dev/inbox").json["messages"]
        assert f"{home}/confirm/" in mail["text"]
        os.killpg(server.process.pid, signal.SIGINT)  # Ctrl-C in a terminal signals all of them
        assert server.process.wait(15) == 0
        assert server.processes() == []
        assert "Traceback" not in server.output
    finally:
        server.kill()
