"""Mail server and SMS provider down, slow or rejecting: no request waits for them, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.databases import ROOT
from tests.faults.accounts import open_one
from tests.faults.visitors import Visitor
from tests.sinks import code_in, until

pytestmark = pytest.mark.one_database

NORMAL = 1.0
"""Seconds a request for a code may take, whatever the mail server does."""


@pytest.fixture(scope="module")
def shared():
    """The database and server of this module."""
    return []


@pytest.fixture
def place(database, databases, shared, start_shared, smtp, sms):
    """A database and a server on it with a mail timeout of 2 s; tests share them."""
    if not shared:
        fresh = databases.fresh(database.kind)
        shared.extend((fresh, start_shared(fresh, LATCHKEY_MAIL_TIMEOUT=2)))
    return shared


def ask(place, identity: str, method: str = "email") -> Visitor:
    """Request a code and return for whom; the response must take a normal time."""
    visitor = Visitor(place[1].url)
    visitor.get("/us-signin")
    answer = visitor.send_code(identity, method)
    assert answer.status == 200
    assert answer.seconds < NORMAL
    return visitor


def message_to(place, address: str) -> tuple[str, int]:
    """Return the state and number of attempts of the message to ``address``."""
    [found] = place[0].query(f"SELECT state, attempts FROM message WHERE \"to\" = '{address}'")
    return found


def settled(place, address: str) -> bool:
    return message_to(place, address)[0] in ("sent", "abandoned", "dropped")


def arrived_once(place, smtp, visitor, address: str, within: float) -> None:
    """Wait for the email to ``address`` and sign in with its code."""
    until(lambda: settled(place, address), within)
    assert message_to(place, address)[0] == "sent"
    assert visitor.sign_in(address, code_in(smtp.to(address)[-1])).status == 200


def test_mail_is_sent_once_after_a_mail_server_outage(place, smtp):
    people = [open_one(place[0], email=f"down{number}@down.test") for number in range(3)]
    smtp.down()
    visitors = [ask(place, ada.email) for ada in people]
    until(lambda: all(message_to(place, ada.email)[1] >= 1 for ada in people), 5)
    assert smtp.mails == []
    smtp.up()
    for ada, visitor in zip(people, visitors, strict=True):
        arrived_once(place, smtp, visitor, ada.email, within=8)  # retries are after 1 s and 5 s
        assert len(smtp.to(ada.email)) == 1


def test_slow_mail_domain_does_not_delay_other_domains_or_the_request(place, smtp):
    ada, bob = open_one(place[0], email="ada@slow.test"), open_one(place[0], email="bob@quick.test")
    smtp.delay = 5.0  # the limit after the message is longer than for other commands
    smtp.modes["slow.test"] = "slow"
    visitor = ask(place, ada.email)
    until(lambda: smtp.attempts >= 1)
    other, began = ask(place, bob.email), time.monotonic()
    until(lambda: settled(place, bob.email), 3)
    assert time.monotonic() - began < 2, "a slow mail domain holds up another"
    arrived_once(place, smtp, other, bob.email, within=1)
    arrived_once(place, smtp, visitor, ada.email, within=10)
    assert message_to(place, ada.email) == ("sent", 1)
    assert len(smtp.to(ada.email)) == 1


def test_mail_is_retried_after_a_temporary_smtp_error(place, smtp):
    ada = open_one(place[0], email="ada@busy.test")
    smtp.modes["busy.test"] = "busy"
    visitor = ask(place, ada.email)
    until(lambda: smtp.attempts >= 1)
    smtp.modes.clear()
    arrived_once(place, smtp, visitor, ada.email, within=5)
    assert message_to(place, ada.email) == ("sent", 2)


def test_permanent_smtp_error_abandons_the_mail_until_the_operator_retries_it(place, smtp):
    ada = open_one(place[0], email="ada@refused.test")
    smtp.modes["refused.test"] = "refuse"
    visitor = ask(place, ada.email)
    until(lambda: settled(place, ada.email), 5)
    assert message_to(place, ada.email) == ("abandoned", 1)
    assert place[0].query(f"SELECT count(*) FROM event WHERE name = 'delivery.failed' AND user_id = {ada.id}") == [(1,)]
    smtp.modes.clear()
    outbox(place, "retry", "--all")
    arrived_once(place, smtp, visitor, ada.email, within=5)


def test_sms_is_retried_after_a_temporary_provider_error(place, sms):
    ada = open_one(place[0], phone="+12015550123")
    sms.mode = "busy"
    visitor = ask(place, ada.phone, "sms")
    until(lambda: message_to(place, ada.phone) == ("waiting", 1), 5)
    sms.mode = "ok"
    sms.wait(1, 9)  # after 5 s
    assert visitor.sign_in(ada.phone, code_in(sms.to(ada.phone)[-1])).status == 200
    assert sms.attempts == 2


def outbox(place, *words: str) -> None:
    """Run ``flask outbox`` for the server."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "outbox", *words]
    environment = {"PATH": "/usr/bin:/bin"} | place[1].environment
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=30, capture_output=True)
