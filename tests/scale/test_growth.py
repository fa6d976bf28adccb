"""Two replicas on a large database: people sign in, administrators look, old rows go, a replica dies."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from tests.factories import People
from tests.faults.accounts import application_on
from tests.faults.crowd import Crowd
from tests.faults.visitors import Visitor, code_for
from tests.functional.admin.conftest import make_administrator
from tests.plans import collected, reads_whole
from tests.scale.conftest import Stack

pytestmark = pytest.mark.one_database

QUICK = 0.3
"""Seconds that 95 of 100 looks at a page, and runs of a command, take at most."""

LARGE = ("event", "user", "identity", "auth_session", "message", "enrolled_method")
SOMEONE = "person777@277.example.com"

PAGES = (
    "/admin",
    "/admin/people",
    "/admin/people?q=person12",
    f"/admin/people?q={SOMEONE}",
    "/admin/people?state=disabled",
    "/admin/people?state=unconfirmed",
    "/admin/people?state=administrator",
    "/admin/people?q=person1&state=disabled",
)
COMMANDS = (
    ("users", "list", "--limit", "100"),
    ("users", "list", "person12", "--limit", "100"),
    ("users", "list", "--disabled", "--limit", "50"),
    ("users", "show", SOMEONE),
    ("users", "sessions", "list", SOMEONE),
    ("attempts", "list", SOMEONE),
    ("outbox", "list"),
    ("outbox", "list", "--state", "abandoned"),
)


@pytest.fixture
def service(stack: Stack) -> Iterator[Flask]:
    """An application on the database, as the commands have it."""
    with application_on(stack.database) as app:
        yield app


@pytest.fixture
def console(service: Flask) -> Callable[[str], int]:
    """Looks at a page of the console as an administrator's program does; returns the status."""
    from app.extensions import db
    from app.sessions import api_tokens

    grace = make_administrator(service, People(service).open(email=f"grace{time.monotonic_ns()}@example.com"))
    with service.app_context():
        from datetime import timedelta

        _, token = api_tokens.issue(grace.id, "scale", ["admin"], timedelta(days=1), "0" * 32)
        db.session.commit()
    client = service.test_client(use_cookies=False)
    headers = {"Authentication-Token": token, "Accept": "application/json"}
    return lambda path: client.get(path, headers=headers).status_code


def p95(work: Callable[[], object], times: int = 20) -> float:
    """Return within how many seconds 95 of 100 runs end: of up to three rounds the best, as others use the machine."""
    work()
    best = float("inf")
    for _ in range(3):
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
        best = min(best, statistics.quantiles(taken, n=20)[-1])
        if best <= QUICK:
            break
    return best


def pages_of(service: Flask) -> list[str]:
    """Return every page of the console, those of one thing by something that is there."""
    from app.admin.navigation import CONSOLE_PAGES

    return list(dict.fromkeys([*(entry.path for entry in CONSOLE_PAGES), *PAGES]))


def test_each_page_of_the_console_is_quick(service, console):
    slow = {}
    for path in pages_of(service):
        assert console(path) == 200, path
        if (taken := p95(lambda path=path: console(path))) > QUICK:
            slow[path] = round(taken, 3)
    assert slow == {}


def test_no_page_of_the_console_reads_a_large_table_whole(service, console):
    whole = []
    for path in pages_of(service):
        with collected(service) as plans:
            console(path)
        whole += [(path, table) for plan in plans for table in LARGE if reads_whole(plan, table)]
    assert whole == []


def test_each_command_is_quick(service):
    runner, slow = service.test_cli_runner(), {}
    for words in COMMANDS:
        assert runner.invoke(args=words).exit_code == 0, words
        if (taken := p95(lambda words=words: runner.invoke(args=words), 10)) > QUICK:
            slow[" ".join(words)] = round(taken, 3)
    assert slow == {}


def test_people_sign_in_by_either_replica_and_are_signed_in_at_both(stack, smtp_server):
    with Crowd(stack.url, stack.addresses[:200], smtp_server, size=4, insisting=True) as ledger:
        time.sleep(3)
    assert ledger.wrong == []
    assert len(ledger.sessions) > 5
    host = stack.url.removeprefix("http://")
    for cookie in list(ledger.sessions.values())[:5]:
        for replica in stack.replicas:
            visitor = Visitor(replica.url, host=host)
            visitor.cookies["latchkey_session"] = cookie
            assert visitor.is_signed_in()


def test_a_replica_that_dies_takes_what_it_was_at_with_it_and_no_more(stack, smtp_server):
    dying = stack.replicas[1]
    with Crowd(stack.url, stack.addresses[200:], smtp_server, size=4) as ledger:
        time.sleep(1)
        dying.kill()
        before = len(ledger.sessions)
        time.sleep(2)
    dying.start()
    assert ledger.wrong == []
    assert ledger.lost <= 4, "each of four visitors loses one request at most"
    assert len(ledger.sessions) > before
    assert _signs_in(stack, smtp_server, stack.addresses[0])


def test_old_events_go_while_people_sign_in(stack, smtp_server):
    """Two thirds of the events are older than ``LATCHKEY_EVENTS_KEEP``; the workers delete them batch by batch."""
    left = lambda: int(stack.database.query("SELECT count(*) FROM event WHERE at < now() - interval '31 days'")[0][0])  # noqa: E731
    visitors, before = [Visitor(stack.url) for _ in range(4)], left()
    waits: list[float] = []

    def look(visitor: Visitor) -> None:
        until = time.monotonic() + 4
        while time.monotonic() < until:
            waits.append(visitor.get("/us-signin").seconds)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(look, visitors))
    assert left() < before or before == 0, "nothing goes"
    assert statistics.quantiles(waits, n=100)[98] < 1.0, "pruning holds people up"


def _signs_in(stack: Stack, smtp: object, address: str) -> bool:
    visitor, since = Visitor(stack.url), len(smtp.mails)  # type: ignore[attr-defined]
    visitor.send_code(address)
    code = code_for(address, smtp, since, 20)  # type: ignore[arg-type]
    return code is not None and visitor.sign_in(address, code).status == 200
