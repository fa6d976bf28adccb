"""Faults around a service in use, and what its metrics show.

tests/functional/monitoring/test_alerts.py has the alerts that follow from these figures.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import psycopg
import pytest

from tests.faults.accounts import application_on, open_many
from tests.faults.crowd import Crowd
from tests.faults.postgresql import OwnPostgresql
from tests.faults.visitors import Visitor
from tests.functional.monitoring.conftest import read
from tests.functional.monitoring.test_server import over_socket
from tests.redis_server import started_redis
from tests.serving import Server
from tests.sinks import until

pytestmark = [pytest.mark.one_database, pytest.mark.long]

WITHIN = 25.0
"""Seconds within which a fault shows: two scrapes of a usual Prometheus."""

PEOPLE = 1500


@dataclass
class Seen:
    """A service in use, with its database and Redis."""

    server: Server
    postgresql: OwnPostgresql
    redis: int
    socket: str
    addresses: Iterator[str] = field(repr=False)

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the series with this name and labels in one scrape; -1 if there is none."""
        found = read(over_socket(self.socket).partition("\r\n\r\n")[2]).of(name)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        values = [value for series, value in found.items() if all(each in series for each in wanted)]
        return sum(values) if values else -1.0

    def shows(self, name: str, value: float, **labels: str) -> None:
        """Wait until a scrape shows this value."""
        until(lambda: self.value(name, **labels) == value, WITHIN)

    @contextmanager
    def rising(self, name: str, **labels: str) -> Iterator[None]:
        """Check that this counter increases during the block."""
        before = max(0.0, self.value(name, **labels))
        yield
        until(lambda: self.value(name, **labels) > before, WITHIN)

    def process_of(self, kind: str) -> int:
        """Return a live process of kind ``web`` or ``worker``."""
        assert self.server.process is not None
        [directory] = Path("/dev/shm").glob(f"latchkey-metrics-{self.server.process.pid}-*")
        living = self.server.processes()
        for counted in directory.glob("counter_*.db"):
            pid = int(counted.stem.removeprefix("counter_"))
            if pid in living and f'kind": "{kind}"'.encode() in counted.read_bytes():
                return pid
        raise AssertionError(f"no {kind} process counts")


@pytest.fixture(scope="module")
def shared(own_postgresql, own_directory, start_shared) -> Iterator[Seen]:
    """The service, on its own PostgreSQL and Redis, with a webhook endpoint."""
    from app.extensions import db
    from app.webhooks import endpoints

    path = f"/tmp/latchkey-seen-{os.getpid()}.sock"
    with started_redis(own_directory) as redis:
        server = start_shared(
            own_postgresql.database,
            LATCHKEY_METRICS_LISTEN=f"unix:{path}",
            LATCHKEY_REDIS_URL=redis.url,
            LATCHKEY_LIMITS="on",
            LATCHKEY_STARTS_PER_ADDRESS=1_000_000,
            LATCHKEY_FAILURES_PER_ADDRESS=1_000_000,
            LATCHKEY_MAIL_TIMEOUT=2,
            LATCHKEY_STATEMENT_TIMEOUT=2,
        )
        with application_on(own_postgresql.database) as app, app.app_context():
            endpoints.create("http://127.0.0.1:1/", ["sign_in.failed"], by="operator")
            db.session.commit()
        addresses = iter(open_many(own_postgresql.database, PEOPLE))
        yield Seen(server, own_postgresql, redis.process.pid, path, addresses)


@pytest.fixture
def seen(shared, smtp) -> Iterator[Seen]:
    """The service, while people keep signing in."""
    until(lambda: shared.value("latchkey_database_up") == 1, WITHIN)
    with Crowd(shared.server.url, list(islice(shared.addresses, 100)), smtp, size=2) as ledger:
        yield shared
    assert ledger.wrong == [], shared.server.output[-3000:]


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Stop processes (SIGSTOP) during the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_metrics_show_a_mail_server_outage(seen, smtp):
    with seen.rising("latchkey_provider_attempts_total", channel="mail", outcome="failed"):
        smtp.down()
    until(lambda: seen.value("latchkey_queue_messages", state="parked") > 0, WITHIN)
    smtp.up()


def test_metrics_show_mail_rejected_by_the_server(seen, smtp):
    with seen.rising("latchkey_messages_total", channel="mail", outcome="abandoned"):
        smtp.mode = "refuse"
    smtp.mode = "ok"


def test_metrics_show_a_stopped_postgresql(seen):
    with seen.rising("latchkey_request_seconds_count", status="5xx"):
        seen.postgresql.stop_at_once()
        seen.shows("latchkey_database_up", 0)
    seen.postgresql.start()
    seen.shows("latchkey_database_up", 1)


def test_metrics_show_a_hung_postgresql(seen):
    with seen.postgresql.frozen():
        seen.shows("latchkey_database_up", 0)
    seen.shows("latchkey_database_up", 1)


def test_metrics_show_a_read_only_postgresql(seen):
    with seen.rising("latchkey_request_seconds_count", status="5xx"):
        alter(seen, "ALTER SYSTEM SET default_transaction_read_only = on")
        seen.shows("latchkey_database_writable", 0)
    alter(seen, "SET default_transaction_read_only = off", "ALTER SYSTEM RESET default_transaction_read_only")
    seen.shows("latchkey_database_writable", 1)


def alter(seen: Seen, *statements: str) -> None:
    """Change settings of the database server, also for new connections."""
    with closing(psycopg.connect(seen.postgresql.database.url, autocommit=True)) as session:
        for statement in (*statements, "SELECT pg_reload_conf()"):
            session.execute(statement)


def test_metrics_show_errors_from_a_locked_table(seen):
    with closing(psycopg.connect(seen.postgresql.database.url)) as session:
        session.execute("LOCK TABLE challenge IN ACCESS EXCLUSIVE MODE")
        with seen.rising("latchkey_request_seconds_count", status="5xx"):
            pass


def test_metrics_show_worker_errors_from_a_missing_table(seen):
    """The worker's other work fails, while people sign in."""
    alter(seen, "ALTER TABLE provider_health RENAME TO provider_health_away")
    try:
        with seen.rising("latchkey_log_lines_total", level="error"):
            pass
    finally:
        alter(seen, "ALTER TABLE provider_health_away RENAME TO provider_health")


def test_metrics_show_a_hung_redis(seen):
    with seen.rising("latchkey_redis_failures_total"), stopped(seen.redis):
        seen.shows("latchkey_redis_up", 0)
    seen.shows("latchkey_redis_up", 1)


@pytest.mark.parametrize("kind", ["web", "worker"])
def test_metrics_show_a_killed_process(seen, kind):
    with seen.rising("latchkey_processes_started_total", kind=kind):
        os.kill(seen.process_of(kind), signal.SIGKILL)


def test_metrics_show_a_hung_worker(seen):
    with stopped(seen.process_of("worker")):
        until(lambda: seen.value("latchkey_worker_heartbeat_age_seconds") > 10, WITHIN)
        until(lambda: seen.value("latchkey_workers") == 0, 60)
    until(lambda: seen.value("latchkey_workers") == 1, WITHIN)


def test_metrics_show_a_hung_web_process(seen):
    with stopped(seen.process_of("web")):
        until(lambda: seen.value("latchkey_process_silence_seconds") > 10, WITHIN)
    until(lambda: seen.value("latchkey_process_silence_seconds") < 5, WITHIN)


def test_metrics_show_a_failing_webhook_endpoint(seen):
    with seen.rising("latchkey_webhook_attempts_total", outcome="failed"):
        Visitor(seen.server.url).sign_in("person0@example.com", "00000000")
    seen.shows("latchkey_webhook_endpoints", 1, state="fails")


def test_metrics_show_a_request_body_timeout(seen):
    with (
        seen.rising("latchkey_requests_turned_away_total", status="408"),
        socket.create_connection(("127.0.0.1", seen.server.port)) as slow,
    ):
        slow.sendall(
            b"POST /us-signin HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 40\r\n\r\n{" % seen.server.port
        )
        slow.settimeout(WITHIN)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_metrics_show_failed_sign_ins(seen):
    with seen.rising("latchkey_sign_ins_total", result="failed"):
        guesser = Visitor(seen.server.url)
        for number in range(5):
            guesser.sign_in(f"person{number}@example.com", "00000000")
