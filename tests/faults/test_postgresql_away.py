"""PostgreSQL stopped or frozen: fast errors meanwhile, and automatic recovery."""

from __future__ import annotations

import threading
import time

import pytest

from tests.faults.accounts import open_many
from tests.faults.visitors import Answer, Visitor, signed_in_visitor
from tests.sinks import until

FROZEN_FOR = 8.0
"""Seconds: longer than any request may take meanwhile."""

ENDS_WITHIN = 6.0


@pytest.fixture(scope="module")
def addresses(own_postgresql) -> list[str]:
    """Ten accounts."""
    return open_many(own_postgresql.database, 10)


@pytest.fixture
def server(own_postgresql, addresses, start):
    """A server on that database."""
    return start(own_postgresql.database)


def works_again(server, visitor: Visitor, address: str, pids: list[int]) -> None:
    """Wait up to 5 s until the server is ready, with the same processes and sessions."""
    until(lambda: visitor.get("/readyz").status == 200, 5)
    assert visitor.is_signed_in()
    until(lambda: Visitor(server.url).send_code(address).status == 200, 5)
    assert server.processes() == pids


def test_stopped_database_returns_503_and_recovers_after_restart(own_postgresql, server, addresses, smtp):
    visitor, pids = signed_in_visitor(server.url, addresses[0], smtp), server.processes()
    stranger = Visitor(server.url)
    stranger.get("/us-signin")
    own_postgresql.stop_at_once()
    meanwhile = [
        ask() for ask in (lambda: visitor.get("/"), lambda: stranger.send_code(addresses[1])) for _ in range(6)
    ]
    assert {answer.status for answer in meanwhile} == {503}
    assert {answer.header("retry-after") for answer in meanwhile} == {"2"}
    assert max(answer.seconds for answer in meanwhile) < 2
    assert not any(answer.cookies for answer in meanwhile)
    assert (visitor.get("/healthz").status, visitor.get("/readyz").status) == (200, 503)
    own_postgresql.start()
    works_again(server, visitor, addresses[2], pids)


@pytest.mark.long
def test_frozen_database_returns_503_in_time_and_recovers(own_postgresql, server, addresses, smtp):
    visitor, pids = signed_in_visitor(server.url, addresses[3], smtp), server.processes()
    answers: list[Answer] = []
    alive: list[Answer] = []
    thawed = threading.Event()

    def keep_asking(path: str, kept: list[Answer], pause: float) -> None:
        someone = Visitor(server.url)
        someone.cookies = dict(visitor.cookies)
        while not thawed.wait(pause):
            kept.append(someone.get(path))

    asking = [("/", answers, 0.05)] * 14 + [("/healthz", alive, 0.1)]
    threads = [threading.Thread(target=keep_asking, args=each, daemon=True) for each in asking]
    with own_postgresql.frozen():
        for thread in threads:
            thread.start()
        time.sleep(FROZEN_FOR)
        thawed.set()
        for thread in threads:
            thread.join(10)
    assert {answer.status for answer in answers} == {503}
    assert max(answer.seconds for answer in answers) < ENDS_WITHIN
    assert {answer.status for answer in alive} == {200}
    assert max(answer.seconds for answer in alive) < 1, "a process that waits for its database still lives"
    works_again(server, visitor, addresses[4], pids)
