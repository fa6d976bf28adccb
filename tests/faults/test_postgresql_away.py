"""PostgreSQL stopped, and PostgreSQL frozen: quick refusals meanwhile, and nothing to do afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg
import pytest

from tests.databases import Databases, start_postgresql, stop_postgresql
from tests.faults.accounts import open_many
from tests.faults.visitors import Answer, Visitor, signed_in_visitor
from tests.sinks import until

FROZEN_FOR = 8.0
"""Seconds: longer than any request may take meanwhile."""

ENDS_WITHIN = 6.0


class OwnPostgresql:
    """A PostgreSQL server that only these tests use, with one database in it."""

    def __init__(self, databases: Databases) -> None:
        self.data = databases.run / "postgresql"
        self.database = databases.fresh("postgresql")
        with psycopg.connect(self.database.url, autocommit=True) as session:
            session.execute("ALTER SYSTEM SET synchronous_commit = on")  # as in production, what is answered stays
            session.execute("SELECT pg_reload_conf()")

    @property
    def postmaster(self) -> psutil.Process:
        return psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))

    def stop_at_once(self) -> None:
        """End it as ``pg_ctl stop -m immediate`` does."""
        self.database.disconnect()
        postmaster = self.postmaster
        postmaster.send_signal(signal.SIGQUIT)
        postmaster.wait(10)

    def start(self) -> None:
        """Start it again."""
        start_postgresql(self.data).ensure_postgres_running()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze all its processes for the block."""
        processes = [self.postmaster, *self.postmaster.children(recursive=True)]
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def own_postgresql(own_directory, worker_id) -> Iterator[OwnPostgresql]:
    """A PostgreSQL server apart from the one that all tests share."""
    yield OwnPostgresql(Databases(own_directory, worker_id))
    stop_postgresql(own_directory / "postgresql")


@pytest.fixture(scope="module")
def addresses(own_postgresql) -> list[str]:
    """Ten accounts."""
    return open_many(own_postgresql.database, 10)


@pytest.fixture
def server(own_postgresql, addresses, start):
    """A server on that database."""
    return start(own_postgresql.database)


def works_again(server, visitor: Visitor, address: str, pids: list[int]) -> None:
    """Wait up to 5 s until the server is ready, the same processes, and knows who was signed in before."""
    until(lambda: visitor.get("/readyz").status == 200, 5)
    assert visitor.is_signed_in()
    until(lambda: Visitor(server.url).send_code(address).status == 200, 5)
    assert server.processes() == pids


def test_stopped_and_started_again(own_postgresql, server, addresses, smtp):
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


def test_frozen_and_thawed(own_postgresql, server, addresses, smtp):
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
