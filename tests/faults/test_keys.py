"""Key rotation while people sign in, with replicas at different stages."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from tests.databases import KEY, ROOT, Database
from tests.faults.accounts import open_many
from tests.faults.crowd import Crowd, Ledger
from tests.faults.visitors import Visitor, code_for
from tests.serving import Server
from tests.sinks import SmtpSink, until

pytestmark = [pytest.mark.long, pytest.mark.both_databases]

SECOND = "for-tests-alone-too-0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d"
THIRD = "for-tests-alone-again-f1e2d3c4b5a697887766554433221100"


def restart_with(server: Server, database: Database, keys: str) -> None:
    """Restart the server with another key ring."""
    assert server.stop() == 0
    forget_processes(database)
    server.environment["LATCHKEY_SECRET_KEYS"] = keys
    server.start()


def forget_processes(database: Database) -> None:
    """Forget processes that have ended, as after half a minute. None runs now."""
    assert database.query("DELETE FROM key_holder RETURNING id")


def rotate(server: Server) -> str:
    """Run ``flask keys rotate`` for the server and return its output."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "keys", "rotate"]
    environment = {"PATH": "/usr/bin:/bin"} | server.environment
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def others_sign_in(ledger: Ledger) -> None:
    """Wait until some more people have signed in."""
    enough = len(ledger.sessions) + 10
    until(lambda: len(ledger.sessions) > enough, 30)


def test_key_rotation_under_load_interrupts_no_sign_in(fresh_database, start, smtp):
    addresses = open_many(fresh_database, 1200)  # enough for all of it
    server = start(fresh_database)
    with Crowd(server.url, addresses, smtp, size=2, insisting=True) as ledger:
        for keys in (f"{SECOND},{KEY}", f"{THIRD},{SECOND}"):
            others_sign_in(ledger)
            restart_with(server, fresh_database, keys)
            assert rotate(server).startswith("1,206 rows are now")  # six of them are signing keys
        others_sign_in(ledger)
    assert ledger.wrong == []
    assert ledger.lost == 0
    assert fresh_database.query("SELECT count(*) FROM event WHERE name = 'crypto.mismatch'") == [(0,)]


STAGES = [KEY, f"{KEY},{SECOND}", f"{SECOND},{KEY}", SECOND]
"""The old key alone; the new one reads; the new one signs; it is alone."""


def wander(first: Server, second: Server, address: str, smtp: SmtpSink) -> list[int]:
    """Request a code at one server, sign in at the other, and sign out at the first with a form of the other."""
    here, there, since = Visitor(first.url), Visitor(second.url), len(smtp.mails)
    asked = here.send_code(address)
    there.cookies, there._csrf = here.cookies, here._csrf
    signed_in = there.sign_in(address, code_for(address, smtp, since, 10) or "no code came")
    there.get("/us-signin")
    here.cookies, here._csrf = there.cookies, there._csrf
    return [asked.status, signed_in.status, here.post("/logout").status]


@pytest.mark.one_database
def test_replicas_at_adjacent_rotation_stages_accept_each_others_data(fresh_database, start, smtp):
    addresses = iter(open_many(fresh_database, 8))
    for older, newer in itertools.pairwise(STAGES):
        servers = [start(fresh_database, workers=1, LATCHKEY_SECRET_KEYS=keys) for keys in (older, newer)]
        for first, second in (servers, servers[::-1]):
            assert wander(first, second, next(addresses), smtp) == [200, 200, 200], (older == KEY, newer == SECOND)
        if newer.startswith(f"{SECOND},"):
            rotate(servers[1])
        for server in servers:
            assert server.stop() == 0
        forget_processes(fresh_database)


@pytest.mark.one_database
def test_skipping_the_first_rotation_stage_makes_one_replica_reject_forms_of_another(fresh_database, start, smtp):
    [address] = open_many(fresh_database, 1)
    older, newer = (start(fresh_database, workers=1, LATCHKEY_SECRET_KEYS=keys) for keys in (STAGES[0], STAGES[2]))
    assert wander(older, newer, address, smtp) == [200, 200, 400]
