"""Repeated kill -9 of all processes: what was confirmed is stored, and nothing is half done."""

from __future__ import annotations

import time

import pytest

from tests.databases import Database
from tests.faults.accounts import open_many
from tests.faults.crowd import Crowd, Ledger
from tests.faults.visitors import SESSION, Visitor
from tests.serving import Server
from tests.sinks import until

pytestmark = [pytest.mark.usefixtures("started_as_typed"), pytest.mark.long, pytest.mark.both_databases]

KILLS = 3
LOAD_FOR = 1.0
"""Seconds between a start and the next kill, at least."""

BACK_WITHIN = 3.0
"""Seconds from a crash to the first answer, on a machine that does nothing else."""


def killed_again_and_again(server: Server, ledger: Ledger) -> list[float]:
    """Kill and restart the server several times; return the seconds that each start took."""
    starts = []
    for _ in range(KILLS):
        await_load(ledger)
        server.kill()
        began = time.monotonic()
        server.start()
        starts.append(time.monotonic() - began)
    await_load(ledger)
    return starts


def await_load(ledger: Ledger) -> None:
    """Wait until some have signed in again, and a moment."""
    enough = len(ledger.sessions) + 5
    time.sleep(LOAD_FOR)
    until(lambda: len(ledger.sessions) > enough, 30)


def test_repeated_sigkill_loses_no_acknowledged_write(fresh_database, start, smtp):
    addresses = open_many(fresh_database, 800)
    began = time.monotonic()
    server = start(fresh_database)
    first_start = time.monotonic() - began
    with Crowd(server.url, addresses, smtp) as ledger:
        starts = killed_again_and_again(server, ledger)
    assert ledger.wrong == []
    assert_nothing_is_lost(fresh_database, server, ledger)
    assert_nothing_is_half_done(fresh_database)
    if fresh_database.kind == "sqlite":
        assert fresh_database.query("PRAGMA integrity_check") == [("ok",)]
    assert min(starts) < max(BACK_WITHIN, 1.5 * first_start), (starts, first_start)


def assert_nothing_is_lost(database: Database, server: Server, ledger: Ledger) -> None:
    """Check that every session cookie is valid and every promised code was queued."""
    for token in ledger.sessions.values():
        visitor = Visitor(server.url)
        visitor.cookies[SESSION] = token
        assert visitor.is_signed_in()
    signed_in = addresses_of(database, "auth_session")
    assert set(ledger.sessions) <= set(signed_in)
    assert set(ledger.asked) <= set(addresses_of(database, "challenge"))
    assert set(ledger.asked) <= set(addresses_of(database, "message"))


def assert_nothing_is_half_done(database: Database) -> None:
    """Check that sessions, used challenges and success events match one to one."""
    sessions = addresses_of(database, "auth_session")
    assert sessions == addresses_of(database, "challenge", "spent_at IS NOT NULL")
    assert sessions == addresses_of(database, "event", "name = 'sign_in.succeeded'")
    assert len(set(sessions)) == len(sessions)
    assert database.query("SELECT count(*) FROM challenge WHERE tries > 5") == [(0,)]


def addresses_of(database: Database, table: str, where: str = "1 = 1") -> list[str]:
    """Return the addresses of the users of a table's rows, sorted, one per row."""
    joined = f"SELECT i.value FROM {table} t JOIN identity i ON i.user_id = t.user_id WHERE {where}"
    return sorted(value for (value,) in database.query(joined))
