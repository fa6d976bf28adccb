"""Commands that read standard input report that it is closed, without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from flask.cli import ScriptInfo

from tests.databases import KEY, ROOT

pytestmark = pytest.mark.one_database

SAID = "This command reads standard input, which is closed. Connect it to a file, a pipe or a terminal."


@pytest.fixture
def run_closed(monkeypatch, people):
    """Runs a command with standard input closed; returns what click would exit with."""
    people.open(email="ada@example.com")

    def run(app, *words: str) -> click.UsageError:
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(click.UsageError) as raised:
            app.cli.main(args=list(words), obj=ScriptInfo(create_app=lambda: app), standalone_mode=False)
        return raised.value

    return run


@pytest.mark.parametrize(
    "words",
    [
        ("clients", "digest", "--existing"),
        ("clients", "create", "Album", "--redirect-uri", "https://album.example.com/cb", "--jwks", "-"),
        ("users", "import", "-"),
        ("users", "import", "--from", "flask-security", "--totp-secrets", "-", "/dev/null"),
        ("users", "delete", "ada@example.com", "--now"),
        ("restore", "-"),
    ],
    ids=" ".join,
)
def test_command_reading_stdin_reports_that_it_is_closed(app, run_closed, words):
    refused = run_closed(app, *words)
    assert (refused.message, refused.exit_code) == (SAID, 2)


def test_bounces_read_with_closed_stdin_is_a_usage_error(tmp_path):
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    kept |= {"LATCHKEY_SECRET_KEYS": KEY, "LATCHKEY_ENVIRONMENT": "development", "LANG": "C"}
    kept |= {"LATCHKEY_DATABASE_URL": f"sqlite:///{tmp_path}/none.db"}
    kept |= {"LATCHKEY_MAIL_BOUNCE_ADDRESS": "bounces@mail.example.com"}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "bounces", "read", "bounces@mail.example.com"]
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    done = subprocess.run(closed, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=120)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert done.stderr.endswith(f"Error: {SAID}\n")
    assert "flask bounces read [OPTIONS] RECIPIENT" in done.stderr


def test_command_not_reading_stdin_works_when_it_is_closed(app, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    app.cli.main(args=["keys", "new"], obj=ScriptInfo(create_app=lambda: app), standalone_mode=False)
    assert len(capsys.readouterr().out) == 65
