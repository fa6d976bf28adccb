"""docs/examples/staying_signed_in.py works as described, against a real server."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.databases import ROOT
from tests.faults.accounts import open_one
from tests.sinks import code_in, until

EXAMPLE = ROOT / "docs" / "examples" / "staying_signed_in.py"
PROMPT = "The code from your mail: "


@pytest.fixture
def store(tmp_path):
    """The example's token file."""
    return tmp_path / "tokens.json"


@pytest.fixture
def start(live_server, store):
    """Starts the example; ``start("--out")`` passes arguments."""

    def run(*words: str) -> subprocess.Popen:
        command = [sys.executable, str(EXAMPLE), live_server.url, "ada@example.com", *words]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env={"LATCHKEY_EXAMPLE_STORE": str(store), "HOME": str(store.parent)}, **pipes)

    return run


def said(program: subprocess.Popen, typed: str = "") -> str:
    """Return a program's output until it exits. Raises AssertionError if it fails."""
    out, err = program.communicate(typed, timeout=30)
    assert program.returncode == 0, err
    return out.removeprefix(PROMPT).strip()


def test_staying_signed_in_example_signs_in_refreshes_and_signs_out(start, fresh_database, smtp, store):
    open_one(fresh_database, email="ada@example.com")
    first = start()
    until(lambda: smtp.to("ada@example.com"))
    assert said(first, code_in(smtp.to("ada@example.com")[-1]) + "\n") == "Signed in as ada@example.com"
    assert store.stat().st_mode & 0o077 == 0
    tokens = json.loads(store.read_text())
    store.write_text(json.dumps(tokens | {"authentication_token": "it has run out"}))
    assert said(start()) == "Signed in as ada@example.com"
    assert json.loads(store.read_text())["refresh_token"] != tokens["refresh_token"]
    said(start("--out"))
    assert fresh_database.query("SELECT count(*) FROM auth_session WHERE revoked_at IS NULL")[0][0] == 0
