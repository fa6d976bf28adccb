"""Another program holds SQLite's write lock: writers wait, then get an error; readers aren't affected."""

from __future__ import annotations

import threading
import time

import pytest

from tests.faults.accounts import open_many
from tests.faults.locks import writers_kept_out
from tests.faults.visitors import Answer, Visitor, signed_in_visitor
from tests.serving import Server

DEADLINE = 3
"""Seconds."""

FEW, MANY = 3, 16


@pytest.fixture
def place(databases, start, smtp):
    """A SQLite database with some accounts, and a server that waits 3 s for it."""
    database = databases.fresh("sqlite")
    addresses = open_many(database, MANY + 1)
    return database, start(database, LATCHKEY_STATEMENT_TIMEOUT=DEADLINE), addresses


class Writers:
    """People who request a code at the same moment."""

    def __init__(self, server: Server, addresses: list[str]) -> None:
        self.answers: list[Answer] = []
        visitors = [Visitor(server.url) for _ in addresses]
        for visitor in visitors:
            visitor.get("/us-signin")
        self.threads = [
            threading.Thread(target=self._write, args=pair, daemon=True)
            for pair in zip(visitors, addresses, strict=True)
        ]
        for thread in self.threads:
            thread.start()

    def _write(self, visitor: Visitor, address: str) -> None:
        self.answers.append(visitor.send_code(address))

    def wait(self) -> list[Answer]:
        """Wait for all responses and return them."""
        for thread in self.threads:
            thread.join(10)
        assert len(self.answers) == len(self.threads)
        return self.answers


def test_writes_wait_for_a_short_lock(place):
    database, server, addresses = place
    with writers_kept_out(database):
        writers = Writers(server, addresses[:FEW])
        time.sleep(2)
        assert writers.answers == []
    assert [answer.status for answer in writers.wait()] == [200] * FEW
    assert database.query("SELECT count(*) FROM challenge") == [(FEW,)]


def test_long_lock_returns_503_for_writes_and_reads_continue(place, smtp):
    database, server, addresses = place
    reader, before = signed_in_visitor(server.url, addresses[0], smtp), server.processes()
    with writers_kept_out(database):
        writers, reads = Writers(server, addresses[1:]), []
        time.sleep(1.5)  # by then, those unlikely to get their turn have been rejected
        while any(thread.is_alive() for thread in writers.threads):
            reads += [reader.get("/us-signin"), reader.get("/readyz")]
            time.sleep(0.05)
    answers = writers.wait()
    assert {(answer.status, answer.header("retry-after")) for answer in answers} == {(503, "2")}
    assert max(answer.seconds for answer in answers) < DEADLINE + 1.5
    assert {answer.status for answer in reads} == {200}
    assert max(answer.seconds for answer in reads) < 1
    assert Visitor(server.url).send_code(addresses[0]).status == 200
    assert server.processes() == before
    assert reader.is_signed_in()
