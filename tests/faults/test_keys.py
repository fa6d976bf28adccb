"""Two rotations of the key, while people sign in."""

from __future__ import annotations

import subprocess
import sys

from tests.databases import KEY, ROOT
from tests.faults.accounts import open_many
from tests.faults.crowd import Crowd, Ledger
from tests.serving import Server
from tests.sinks import until

SECOND = "for-tests-alone-too-0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d"
THIRD = "for-tests-alone-again-f1e2d3c4b5a697887766554433221100"


def restart_with(server: Server, keys: str) -> None:
    """Restart the server with another key ring."""
    assert server.stop() == 0
    server.environment["LATCHKEY_SECRET_KEYS"] = keys
    server.start()


def rotate(server: Server) -> str:
    """Run ``flask keys rotate`` beside the server and return what it says."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "keys", "rotate"]
    environment = {"PATH": "/usr/bin:/bin"} | server.environment
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def others_sign_in(ledger: Ledger) -> None:
    """Wait until some more have signed in."""
    enough = len(ledger.sessions) + 10
    until(lambda: len(ledger.sessions) > enough, 30)


def test_nobody_notices_that_the_key_is_changed(fresh_database, start, smtp):
    addresses = open_many(fresh_database, 800)
    server = start(fresh_database)
    with Crowd(server.url, addresses, smtp, size=2, insisting=True) as ledger:
        for keys in (f"{SECOND},{KEY}", f"{THIRD},{SECOND}"):
            others_sign_in(ledger)
            restart_with(server, keys)
            assert rotate(server).startswith("800 rows are now")
        others_sign_in(ledger)
    assert ledger.wrong == []
    assert ledger.lost == 0
    assert fresh_database.query("SELECT count(*) FROM event WHERE name = 'crypto.mismatch'") == [(0,)]
