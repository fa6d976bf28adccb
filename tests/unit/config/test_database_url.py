"""A PostgreSQL URL may have everything that libpq accepts; anything else is rejected at startup."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from config import postgresql
from config.settings import ConfigurationError, Settings
from tests.databases import ROOT

pytestmark = pytest.mark.one_database

TAKEN = {
    "postgresql://ada@db/auth?options=-csearch_path=auth": {"options": "-csearch_path=auth"},
    "postgresql://ada@db/auth?options=-c%20search_path%3Dauth": {"options": "-c search_path=auth"},
    "postgresql+psycopg://ada@db/auth?sslmode=verify-full&sslrootcert=/ca.pem": {
        "sslmode": "verify-full",
        "sslrootcert": "/ca.pem",
    },
    "postgresql://ada@one,two/auth": {"host": "one,two"},
    "postgresql://ada@one:5433,two:5434/auth?target_session_attrs=primary": {
        "host": "one,two",
        "port": "5433,5434",
        "target_session_attrs": "primary",
    },
    "postgresql://ada@/auth?host=/run/postgresql": {"host": "/run/postgresql"},
    "postgresql://ada:a%40b%3D@db/auth": {"password": "a@b="},
}
REFUSED = {
    "postgresql://ada:s3same@db/auth?sslmod=require": "libpq has no parameter sslmod",
    "postgresql://ada:s3same@db/auth?sslmode=s3same": "libpq rejects the value of sslmode",
    "postgresql://ada:s3same@db/auth?sslmode": "not a URL that libpq can read",
    "postgresql://ada:s3same%zz@db/auth": "percent-encode",
    "postgresql://ada:s3same@db:s3same/auth": "port must be a number",
    "postgresql://ada:s3same@one:1,two:99999/auth": "port must be a number",
    "postgresql://ada:s3same@db/auth?connect_timeout=s3same": "connect_timeout must be a whole number",
    "postgresql://ada:s3same@db/auth?target_session_attrs=standby": "must select a writable server",
    "postgresql://ada:s3same@db/auth?target_session_attrs=s3same": "the value of target_session_attrs",
    "postgresql://ada:s3same@db/auth?service=s3same": "the value of service",
    "postgresql://ada:s3same@db/auth?options=-cstatement_timeout=9": "set LATCHKEY_STATEMENT_TIMEOUT",
    "postgresql://ada:s3same@db/auth?options=--lock-timeout=9": "set LATCHKEY_STATEMENT_TIMEOUT",
    "postgresql://ada:s3same@db/auth?options=-c%20TimeZone=Mars": "times are kept in UTC",
    "sqlite:///var/s3same.db?mode=ro": "a sqlite:// URL has no parameters",
}
COMMANDS = (["serve"], ["worker"], ["db", "upgrade"], ["doctor"], ["users", "list"])


@pytest.mark.parametrize("url", TAKEN)
def test_libpq_parameters_are_kept(url):
    found = postgresql.parameters(url)
    assert {name: found[name] for name in TAKEN[url]} == TAKEN[url]


@pytest.mark.parametrize("url", REFUSED)
def test_invalid_libpq_parameters_are_rejected_without_showing_values(monkeypatch, url):
    monkeypatch.setenv("LATCHKEY_ENVIRONMENT", "development")
    monkeypatch.setenv("LATCHKEY_DATABASE_URL", url)
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    (problem,) = refused.value.problems
    assert problem.setting == "LATCHKEY_DATABASE_URL"
    assert REFUSED[url] in problem.what
    assert "s3same" not in str(problem)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_exit_78_without_traceback_for_an_invalid_database_url(command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
    environment |= {
        "LATCHKEY_ENVIRONMENT": "development",
        "LATCHKEY_DATABASE_URL": "postgresql://ada:s3same@one,two/auth?nonsense=1",
    }
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *command]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78, done.stderr
    assert "LATCHKEY_DATABASE_URL is invalid: libpq has no parameter nonsense. " in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3same" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sqlite:///var/latchkey.db", "LATCHKEY_DATABASE_POOLER is set, but the database is an SQLite file"),
        ("postgresql://ada@db/auth?options=-csearch_path=auth", "has options, which a pooler doesn't pass on"),
    ],
)
def test_settings_incompatible_with_a_pooler_are_rejected(monkeypatch, url, what):
    monkeypatch.setenv("LATCHKEY_ENVIRONMENT", "development")
    monkeypatch.setenv("LATCHKEY_DATABASE_URL", url)
    monkeypatch.setenv("LATCHKEY_DATABASE_POOLER", "transaction")
    with pytest.raises(ConfigurationError, match=what):
        Settings.load()
