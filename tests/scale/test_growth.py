"""Two replicas on a large database: sign-ins, administrators, cleanup of old rows, and a replica that dies."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from flask import Flask

from tests.factories import People
from tests.faults.accounts import application_on
from tests.faults.crowd import Crowd
from tests.faults.visitors import Visitor, code_for
from tests.functional.admin.conftest import make_administrator
from tests.plans import collected, reads_whole
from tests.scale.conftest import USERS, Stack

pytestmark = pytest.mark.one_database

QUICK = 0.3
"""Seconds that 95 of 100 looks at a page, and runs of a command, take at most."""

LARGE = ("event", "user", "identity", "auth_session", "message", "enrolled_method", "group_membership")
SOMEONE = "person777@277.example.com"

STAFF = 2000
"""Members of a group."""

PAGES = (
    "/admin?span=24h",
    "/admin?span=30d",
    "/admin/people?q=person12",
    f"/admin/people?q={SOMEONE}",
    "/admin/people?state=disabled",
    "/admin/people?state=unconfirmed",
    "/admin/people?state=administrator",
    "/admin/people?q=person1&state=disabled",
    "/admin/people?group=staff",
    "/admin/people?q=person1&group=staff",
    "/admin/people/{handle}",
    "/admin/groups/staff",
    "/admin/apps/client?id=wiki",
    "/admin/invitations?state=all",
    "/admin/webhooks/{endpoint}",
    "/admin/attempts?support_id={support_id}",
    "/admin/outbox?state=abandoned&destination=0.example.com",
    "/admin/outbox?state=waiting&channel=mail",
    f"/admin/audit?person={SOMEONE}",
    f"/admin/audit?person={SOMEONE}&event=sign_in",
    "/admin/audit?support_id={support_id}",
    "/admin/audit?actor=operator",
    "/admin/audit?event=sign_in.failed",
    "/admin/audit?event=no.such",
    "/admin/audit?address=192.0.2.251",
    "/admin/audit?from={day}&to={day}",
    "/admin/audit?from={day}&event=no.such",
    "/admin/settings?all=1",
)
COMMANDS = (
    ("users", "list", "--limit", "100"),
    ("users", "list", "person12", "--limit", "100"),
    ("users", "list", "--disabled", "--limit", "50"),
    ("users", "show", SOMEONE),
    ("users", "sessions", "list", SOMEONE),
    ("attempts", "list", SOMEONE),
    ("attempts", "show", "{support_id}"),
    ("outbox", "list"),
    ("outbox", "list", "--state", "abandoned"),
    ("outbox", "providers"),
    ("users", "list", "--group", "staff", "--limit", "100"),
    ("users", "admin"),
    ("groups", "list"),
    ("invitations", "list", "--all"),
    ("clients", "list"),
    ("clients", "show", "wiki"),
    ("webhooks", "list"),
    ("webhooks", "deliveries", "{endpoint}"),
    ("mail", "suppressions", "list"),
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
    """Return within how many seconds 95 of 100 runs end: of up to six rounds the best, as others use the machine."""
    work()
    best = float("inf")
    for _ in range(6):
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
        best = min(best, statistics.quantiles(taken, n=20)[-1])
        if best <= QUICK:
            break
    return best


@pytest.fixture
def things(service: Flask, stack: Stack) -> dict[str, str]:
    """Something of each kind that has a page of its own, made once: what stands for it in a path."""
    ask, run = stack.database.query, service.test_cli_runner().invoke
    if not ask("SELECT 1 FROM webhook_endpoint"):
        for words in (
            "groups create staff", "clients create Wiki --redirect-uri https://wiki.example.com/cb",
            "invitations create --group staff --uses 20", "webhooks create https://example.com/ --event webhook.*",
        ):  # fmt: skip
            assert run(args=words.split()).exit_code == 0, words
        from app.extensions import db

        with service.app_context():
            every = max(1, USERS // STAFF)
            members = 'SELECT g.id, u.id, now() FROM "group" g, "user" u WHERE u.id % :every = 0'
            insert = f"INSERT INTO group_membership (group_id, user_id, created_at) {members}"
            db.session.execute(sa.text(insert), {"every": every})
            db.session.commit()
    [(handle,)] = ask(f"SELECT handle FROM \"user\" u JOIN identity i ON i.user_id = u.id WHERE value = '{SOMEONE}'")
    [(support_id, day)] = ask(
        "SELECT support_id, to_char(at, 'YYYY-MM-DD') FROM event WHERE name = 'sign_in.failed' "
        "AND support_id <> '' ORDER BY at DESC LIMIT 1"
    )
    [(endpoint,)] = ask("SELECT id FROM webhook_endpoint LIMIT 1")
    return {"handle": handle, "support_id": support_id, "day": day, "endpoint": endpoint}


def pages_of(things: dict[str, str]) -> list[str]:
    """Return every page of the console, those of one thing by something that is there, and those that search."""
    from app.admin.presenters import CONSOLE_PAGES

    return list(dict.fromkeys([*(entry.path for entry in CONSOLE_PAGES), *(page.format(**things) for page in PAGES)]))


def test_every_console_page_is_measured(service):
    """One that joins the console is one to be timed."""
    looked_at = {path.partition("?")[0].replace("{handle}", "<handle>") for path in PAGES}
    looked_at |= {path.replace("{endpoint}", "<endpoint_id>").replace("/staff", "/<name>") for path in looked_at}
    rules = [
        rule for rule in service.url_map.iter_rules() if rule.endpoint.startswith("admin.") and "GET" in rule.methods
    ]
    of_lists = {"/admin/audit.csv", "/admin/first"}  # the first streams for as long as there is, the other has no list
    from app.admin.presenters import CONSOLE_PAGES

    looked_at |= {entry.path for entry in CONSOLE_PAGES}
    assert {rule.rule for rule in rules} - looked_at == of_lists


def test_console_pages_are_fast_on_a_large_database(things, console):
    slow = {}
    for path in pages_of(things):
        assert console(path) == 200, path
        if (taken := p95(lambda path=path: console(path))) > QUICK:
            slow[path] = round(taken, 3)
    assert slow == {}


def test_console_pages_need_no_full_scan_of_large_tables(service, things, console):
    whole = []
    for path in pages_of(things):
        with collected(service) as plans:
            console(path)
        whole += [(path, table) for plan in plans for table in LARGE if reads_whole(plan, table)]
    assert whole == []


def commands_of(things: dict[str, str]) -> list[list[str]]:
    """Return the commands that do what the console's pages do."""
    return [[word.format(**things) for word in words] for words in COMMANDS]


def test_commands_need_no_full_scan_of_large_tables(service, things):
    whole, runner = [], service.test_cli_runner()
    for words in commands_of(things):
        with collected(service) as plans:
            assert runner.invoke(args=words).exit_code == 0, words
        whole += [(words, table) for plan in plans for table in LARGE if reads_whole(plan, table)]
    assert whole == []


def test_commands_are_fast_on_a_large_database(service, things):
    runner, slow = service.test_cli_runner(), {}
    for words in commands_of(things):
        assert runner.invoke(args=words).exit_code == 0, words
        if (taken := p95(lambda words=words: runner.invoke(args=words), 10)) > QUICK:
            slow[" ".join(words)] = round(taken, 3)
    assert slow == {}


def test_session_of_either_replica_is_valid_at_both(stack, smtp_server):
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


def test_killed_replica_loses_only_its_running_requests(stack, smtp_server):
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


def test_old_events_are_pruned_without_slowing_requests(stack, smtp_server):
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
