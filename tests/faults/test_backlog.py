"""A backlog of thousands of messages delays nobody else's, and operators see what is waiting.

Real servers, real worker processes, a real mail server. Figures have a margin for a machine that does other things.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.databases import ROOT, Database
from tests.faults.accounts import application_on, open_one
from tests.faults.visitors import Visitor
from tests.serving import Server
from tests.sinks import until

pytestmark = [pytest.mark.long, pytest.mark.both_databases]

BACKLOG = 2500

OTHERS_WAIT = 1.0
"""Seconds a mail to another domain may take, whatever waits at one."""

NEW_WAIT = 2.0
"""Seconds a new code may take once the server is back, whatever waits."""

LOADED = 4.0
"""How many times what a mail takes without a backlog is allowed besides: on a busy machine that is long."""


def fill(database: Database, domain: Callable[[int], str], count: int = BACKLOG) -> None:
    """Put messages into the outbox, as after a flood or a long outage."""
    with application_on(database) as app, app.app_context():
        from app import outbox
        from app.extensions import db

        where_to = [f"person{number}@{domain(number)}" for number in range(count)]
        facts = {"family": "0" * 32, "agent": "", "address": "192.0.2.1"}
        outbox.enqueue_each("new_device", "mail", where_to, **facts)
        db.session.commit()


def count(database: Database, condition: str) -> int:
    """Return the number of such messages."""
    return int(database.query(f"SELECT count(*) FROM message WHERE {condition}")[0][0])


def make_due(database: Database) -> None:
    """Make all waiting messages due now, as if time had passed."""
    free = "SELECT id FROM message WHERE state = 'waiting'" + " FOR UPDATE SKIP LOCKED" * (database.kind != "sqlite")
    database.query(f"UPDATE message SET next_attempt_at = created_at WHERE id IN ({free}) RETURNING id")


def end_leases(database: Database) -> None:
    """Let the leases of a dead worker expire, as a minute later."""
    over = "lease_until = created_at, next_attempt_at = created_at"
    assert database.query(f"UPDATE message SET {over} WHERE state = 'sending' RETURNING id")


def seconds_to_mail(server: Server, address: str, smtp) -> float:
    """Request a code and return how long its email takes."""
    before = len(smtp.to(address))
    visitor = Visitor(server.url)
    visitor.get("/us-signin")
    assert visitor.send_code(address).status == 200
    began = time.monotonic()
    until(lambda: len(smtp.to(address)) > before, 30, every=0.005)
    return time.monotonic() - began


def usual(server: Server, address: str, smtp) -> float:
    """Return how long an email takes without a backlog, the longer of two."""
    return max(seconds_to_mail(server, address, smtp) for _ in range(2))


@pytest.mark.parametrize("mode", ["busy", "slow"])
def test_unresponsive_mail_domain_does_not_delay_mail_to_other_domains(fresh_database, start, smtp, mode):
    people = [open_one(fresh_database, email=f"ada{number}@example.com") for number in range(8)]
    smtp.modes["bad.test"], smtp.delay = mode, 30.0
    server = start(fresh_database, workers=1)
    alone = usual(server, people[0].email, smtp)
    fill(fresh_database, lambda _number: "bad.test")
    at_once = [seconds_to_mail(server, ada.email, smtp) for ada in people[1:4]]
    if mode == "busy":
        until(lambda: count(fresh_database, "attempts > 0") > BACKLOG / 5, 240, every=0.5)
    later = [seconds_to_mail(server, ada.email, smtp) for ada in people[4:]]
    assert max(at_once + later) < OTHERS_WAIT + LOADED * alone, (at_once, later, alone)
    assert smtp.to("bad.test") == []


def test_new_codes_are_sent_before_the_backlog_after_a_mail_outage(fresh_database, start, smtp):
    people = [open_one(fresh_database, email=f"ada{number}@example.com") for number in range(4)]
    server = start(fresh_database, workers=1)
    alone = usual(server, people[0].email, smtp)
    smtp.down()
    fill(fresh_database, lambda number: "example.com" if number % 2 else f"domain{number % 100}.test")
    until(lambda: count(fresh_database, "attempts > 0") > BACKLOG, 240, every=0.5)
    smtp.up()
    make_due(fresh_database)
    taken = [seconds_to_mail(server, ada.email, smtp) for ada in people[1:]]
    waited = count(fresh_database, "state = 'waiting'")
    assert max(taken) < NEW_WAIT + LOADED * alone, (taken, alone)
    assert waited > BACKLOG / 4, "the backlog had not left before"
    until(lambda: count(fresh_database, "state = 'waiting'") < waited - 500, 60, every=0.5)
    assert len({(tuple(mail.to), mail.subject) for mail in smtp.mails}) == len(
        smtp.mails
    )  # subjects of codes have a tag


@pytest.mark.one_database
def test_many_slow_mail_domains_do_not_delay_mail_to_other_domains(fresh_database, start, smtp):
    people = [open_one(fresh_database, email=f"ada{number}@example.com") for number in range(4)]
    domains = [f"slow{number}.test" for number in range(12)]
    smtp.modes |= dict.fromkeys(domains, "slow")
    smtp.delay = 30.0
    server = start(fresh_database, workers=1)
    seconds_to_mail(server, people[0].email, smtp)
    fill(fresh_database, lambda number: domains[number % len(domains)], 600)
    until(lambda: count(fresh_database, "state = 'sending'") >= len(domains), 20, every=0.05)
    taken = [seconds_to_mail(server, ada.email, smtp) for ada in people[1:]]
    assert max(taken) < OTHERS_WAIT * LOADED, taken


def doctor(server: Server) -> str:
    """Return the output of ``flask doctor`` for a server."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor"]
    environment = {"PATH": "/usr/bin:/bin"} | server.environment
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=60, capture_output=True, text=True).stdout


@pytest.mark.one_database
def test_doctor_reports_waiting_messages_with_domain_and_error(fresh_database, start, smtp):
    smtp.modes["bad.test"] = "busy"
    server = start(fresh_database, workers=1)
    fill(fresh_database, lambda _number: "bad.test", 50)
    until(lambda: count(fresh_database, "attempts > 1") == 50, 30)
    waiting = "50 messages wait for another try at bad.test: message refused (451)"
    said = until(lambda: said if waiting in (said := doctor(server)) else "", 60)  # not while they are retried
    assert "1 worker runs" in said
    assert "Start a worker" not in said


def test_two_workers_share_a_backlog_and_send_each_message_once(fresh_database, start, smtp):
    first = start(fresh_database, workers=1)
    shared = {name: first.environment[name] for name in ("LATCHKEY_PUBLIC_URL", "LATCHKEY_QUEUE_URL")}
    start(fresh_database, workers=1, **shared)
    fill(fresh_database, lambda number: f"domain{number % 5}.test", 400)
    until(lambda: count(fresh_database, "state = 'sent'") == 400, 120, every=0.5)
    assert len({tuple(mail.to) for mail in smtp.mails}) == len(smtp.mails) == 400


@pytest.mark.one_database
def test_worker_killed_during_a_backlog_loses_no_messages(fresh_database, start, smtp):
    server = start(fresh_database, workers=1)
    fill(fresh_database, lambda number: f"domain{number % 5}.test", 400)
    until(lambda: len(smtp.mails) > 40, 60)
    server.kill()
    end_leases(fresh_database)
    server.start()
    until(lambda: count(fresh_database, "state = 'sent'") == 400, 120, every=0.1)
    copies = [str(mail.message["Message-ID"]) for mail in smtp.mails]
    assert len({tuple(mail.to) for mail in smtp.mails}) == len(set(copies)) == 400
    assert len(copies) - 400 < 64, "what was under way, and no more"
