"""A primary that turns read-only but keeps its connections, and a standby that takes over."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy as sa

from app.db import DatabaseReadOnly, attach, engine_options, engine_url, unavailable
from tests.databases import ROOT, Database, Databases, stop_postgresql
from tests.faults.accounts import open_many
from tests.faults.failover import Pair, Relay
from tests.faults.visitors import Answer, Visitor, signed_in_visitor
from tests.sinks import until

RECOVERS_WITHIN = 30


@pytest.fixture(scope="module")
def pair(own_directory, worker_id):
    """A primary with some accounts, and its standby."""
    pair = Pair(Databases(own_directory, worker_id))
    open_many(pair.database, 10)
    yield pair
    for name in ("standby", "postgresql"):
        stop_postgresql(own_directory / name)


@pytest.fixture
def relay(pair):
    """The service's address of its database; it forwards to the primary."""
    relay = Relay(pair.sockets[0])
    yield relay
    relay.close()


@pytest.fixture
def server(pair, relay, start):
    """A server on that address."""
    return start(Database("postgresql", pair.url_at(relay.port)))


@pytest.fixture
def stranger(server):
    """Someone who has the sign-in page open."""
    stranger = Visitor(server.url)
    stranger.get("/us-signin")
    return stranger


def answers_of(visitor: Visitor, stranger: Visitor, address: str) -> list[Answer]:
    """Return the responses to someone who is signed in and to someone who signs in, several times."""
    asked = []
    for _ in range(6):
        asked += [visitor.get("/"), stranger.send_code(address), visitor.get("/readyz")]
    return asked


def assert_away(answers: list[Answer]) -> None:
    """Check that each response says to retry soon."""
    assert {(answer.status, answer.header("retry-after")) for answer in answers} == {(503, "2")}
    assert max(answer.seconds for answer in answers) < 3


def doctor(server) -> str:
    """Return the output of ``flask doctor`` with this server's settings."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor"]
    done = subprocess.run(command, cwd=ROOT, env=server.environment | {"PATH": "/usr/bin"}, capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    return next(line for line in done.stdout.splitlines() if " database " in line)


def turn_read_only(pair, stranger: Visitor) -> None:
    """Make the primary read-only, and wait until each process has noticed."""
    pair.set_first_read_only("on")
    first = {stranger.send_code("person9@example.com").status for _ in range(12)}
    assert first <= {200, 503}, first


def engine_on(pair, *hosts) -> sa.Engine:
    """Return an engine for the writable one of these hosts."""
    url = f"postgresql://postgres@/{pair.name}?host={','.join(str(host.parent) for host in hosts)}"
    engine = sa.create_engine(engine_url(url), **engine_options(url, timeout=5, pool_size=1))
    attach(engine, timeout=5)
    return engine


def test_writable_host_is_chosen_from_several_hosts(pair):
    primary, standby = pair.sockets
    with engine_on(pair, standby, primary).connect() as connection:
        assert connection.scalar(sa.text("SELECT pg_is_in_recovery()")) is False


@pytest.mark.parametrize("count", [1, 2])
def test_connection_to_only_standbys_is_rejected(pair, count):
    standby = pair.sockets[1]
    with pytest.raises(DatabaseReadOnly) as refused:
        engine_on(pair, *[standby] * count).connect()
    assert unavailable(refused.value)


def test_read_only_database_is_unavailable_until_it_accepts_writes_again(pair, server, stranger, smtp):
    visitor = signed_in_visitor(server.url, "person0@example.com", smtp)
    pids = server.processes()
    turn_read_only(pair, stranger)
    assert_away(answers_of(visitor, stranger, "person1@example.com"))
    assert visitor.get("/healthz").status == 200
    assert "accepts no writes" in doctor(server)
    pair.set_first_read_only("off")
    until(lambda: Visitor(server.url).get("/readyz").status == 200, RECOVERS_WITHIN)
    signed_in_visitor(server.url, "person2@example.com", smtp)
    assert visitor.is_signed_in()
    assert server.processes() == pids


def test_servers_recover_after_a_failover_that_keeps_connections_open(pair, relay, server, stranger, smtp):
    visitor = signed_in_visitor(server.url, "person3@example.com", smtp)
    pids = server.processes()
    turn_read_only(pair, stranger)
    relay.target = pair.sockets[1]
    assert_away(answers_of(visitor, stranger, "person4@example.com"))
    pair.promote_second()
    until(lambda: Visitor(server.url).get("/readyz").status == 200, RECOVERS_WITHIN)
    assert visitor.is_signed_in()
    for number in range(5, 9):
        signed_in_visitor(server.url, f"person{number}@example.com", smtp)
    spent = "SELECT count(*) FROM challenge WHERE spent_at IS NOT NULL"
    assert pair.standby.query(spent)[0][0] == pair.database.query(spent)[0][0] + 4
    assert server.processes() == pids
    assert "Traceback" not in server.output
