"""Another program holds SQLite's write lock: writers wait, then are told; readers notice nothing."""

from __future__ import annotations

import threading
import time

import pytest

from tests.faults.accounts import open_many
from tests.faults.locks import writers_kept_out
from tests.faults.visitors import Answer, Visitor, signed_in_visitor

WRITERS = 3


@pytest.fixture
def place(databases, start, smtp):
    """A SQLite database with three accounts, and a server that waits 3 s for it."""
    database = databases.fresh("sqlite")
    addresses = open_many(database, WRITERS)
    return database, start(database, LATCHKEY_STATEMENT_TIMEOUT=3), addresses


def write(url: str, addresses: list[str]) -> tuple[list[threading.Thread], list[Answer]]:
    """Ask for a code to each address, in threads; return them and where their answers will be."""
    answers: list[Answer] = []
    visitors = [Visitor(url) for _ in addresses]
    for visitor in visitors:
        visitor.get("/us-signin")
    threads = [
        threading.Thread(target=lambda who=who, to=to: answers.append(who.send_code(to)), daemon=True)
        for who, to in zip(visitors, addresses, strict=True)
    ]
    for thread in threads:
        thread.start()
    return threads, answers


def test_a_short_lock_is_waited_for(place):
    database, server, addresses = place
    with writers_kept_out(database):
        threads, answers = write(server.url, addresses)
        time.sleep(2)
        assert answers == []
    for thread in threads:
        thread.join(10)
    assert [answer.status for answer in answers] == [200] * WRITERS
    assert database.query("SELECT count(*) FROM challenge") == [(WRITERS,)]


def test_a_long_lock_is_503_and_reads_go_on(place, smtp):
    database, server, addresses = place
    reader = signed_in_visitor(server.url, addresses[0], smtp)
    before = server.processes()
    with writers_kept_out(database):
        threads, answers = write(server.url, addresses)
        reads = []
        while any(thread.is_alive() for thread in threads):
            reads += [reader.get("/us-signin"), reader.get("/readyz")]
            time.sleep(0.05)
    assert {answer.status for answer in reads} == {200}
    assert max(answer.seconds for answer in reads) < 1
    assert [answer.status for answer in answers] == [503] * WRITERS
    assert {answer.header("retry-after") for answer in answers} == {"2"}
    assert min(answer.seconds for answer in answers) > 2.5
    assert max(answer.seconds for answer in answers) < 7
    assert Visitor(server.url).send_code(addresses[0]).status == 200
    assert server.processes() == before
    assert reader.is_signed_in()
