"""The link "this was not me" in an email needs a person to press it, and what it ended can't be reopened."""

from __future__ import annotations

import itertools
import time
import urllib.request

import pytest

from tests.databases import Database
from tests.faults.accounts import open_one
from tests.faults.visitors import SESSION, Visitor, answer_to, answers_at_once, code_for
from tests.serving import Server
from tests.sinks import SmtpSink, code_in, denial_in

pytestmark = pytest.mark.both_databases

FORM = "Content-Type: application/x-www-form-urlencoded"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def shared():
    """The servers of this module, by the kind of their database."""
    return {}


@pytest.fixture
def server(database, databases, shared, start_shared, smtp) -> tuple[Server, Database]:
    """A server of one process, with its limits, and its database."""
    if database.kind not in shared:
        fresh = databases.fresh(database.kind)
        many = {"LATCHKEY_STARTS_PER_ADDRESS": 1000, "LATCHKEY_FAILURES_PER_ADDRESS": 1000}
        few = {"LATCHKEY_LIMITS": "on", "LATCHKEY_DENIED_PENALTY": 2}
        shared[database.kind] = start_shared(fresh, workers=1, **many, **few), fresh
    return shared[database.kind]


@pytest.fixture
def asked(server, smtp: SmtpSink) -> tuple[Visitor, str, str]:
    """Someone who requested a code with Ada's address, the code, and the path of its report link."""
    email = open_one(server[1], email=f"ada{next(_numbers)}@example.com").email
    visitor, since = Visitor(server[0].url), len(smtp.mails)
    while (answer := visitor.send_code(email)).status == 429:
        time.sleep(float(answer.header("retry-after")))  # reports of other tests
    code_for(email, smtp, since, 10)
    mail = smtp.to(email)[-1]
    visitor.email = email
    return visitor, code_in(mail), denial_in(mail)


def denied(database: Database) -> int:
    """Return the number of reported requests."""
    return int(database.query("SELECT count(*) FROM challenge WHERE denied_at IS NOT NULL")[0][0])


def test_link_scanner_without_a_csrf_token_cannot_deny_a_sign_in(server, asked):
    visitor, code, path = asked
    before = denied(server[1])
    for _ in range(10):
        robot = Visitor(server[0].url)
        with urllib.request.urlopen(urllib.request.Request(robot_url(server, path), method="HEAD"), timeout=10):
            pass
        assert robot.get(path).status == 200
        post = robot.request("POST", path, b"x=y").replace(b"Content-Type: application/json", FORM.encode())
        assert answer_to(robot.address, post).status == 400
    assert denied(server[1]) == before
    assert visitor.sign_in(visitor.email, code).status == 200


def robot_url(server: tuple[Server, Database], path: str) -> str:
    """Return the full URL of a path."""
    return server[0].url + path


def test_cross_origin_denial_is_rejected(server, asked):
    visitor, _code, path = asked
    before = denied(server[1])
    ready = visitor.prepared(path, sure="y")
    forged = ready.replace(b"Accept:", b"Origin: https://evil.example\r\nAccept:", 1)
    assert answer_to(visitor.address, forged).status == 400
    assert denied(server[1]) == before


def test_denial_racing_with_sign_in_leaves_no_session(server, asked):
    visitor, code, path = asked
    owner = Visitor(server[0].url)
    requests = [(owner.address, owner.prepared(path, sure="y"))] * 25
    requests += [(visitor.address, visitor.prepared("/us-signin", identity=visitor.email, passcode=code))] * 25
    answers = answers_at_once(requests)
    assert {answer.status for answer in answers[:25]} == {200}
    assert not any(SESSION in answer.cookies for answer in answers[:25])
    open_ones = "SELECT count(*) FROM auth_session JOIN identity USING (user_id) WHERE revoked_at IS NULL AND value"
    assert server[1].query(f"{open_ones} = '{visitor.email}'") == [(0,)]
    said = "SELECT count(*) FROM event JOIN identity USING (user_id) WHERE name = 'link.denied_by_user' AND value"
    assert server[1].query(f"{said} = '{visitor.email}'") == [(1,)]


def test_denial_delays_the_next_code_request_from_the_requesting_network(server, asked):
    visitor, _code, path = asked
    assert Visitor(server[0].url).post(path, sure="y").status == 200
    answer = visitor.send_code(visitor.email)
    assert answer.status == 429
    assert 1 <= int(answer.header("retry-after")) <= 3
    time.sleep(2.1)
    assert visitor.send_code(visitor.email).status == 200


def test_denial_token_is_neither_logged_nor_stored(server, asked):
    _visitor, _code, path = asked
    Visitor(server[0].url).post(path, sure="y")
    mac = path.rpartition(".")[2]
    rows = [server[1].query(f"SELECT * FROM {table}") for table in ("challenge", "event", "message", "auth_session")]
    assert mac not in server[0].output + repr(rows)


def test_denial_delay_applies_in_every_process(database, databases, start_shared, smtp):
    fresh = databases.fresh(database.kind)
    many = {"LATCHKEY_STARTS_PER_ADDRESS": 1000, "LATCHKEY_FAILURES_PER_ADDRESS": 1000}
    server = start_shared(fresh, workers=2, **{"LATCHKEY_LIMITS": "on"} | many)
    email = open_one(fresh, email="ada@example.com").email
    visitor, since = Visitor(server.url), len(smtp.mails)
    visitor.send_code(email)
    code_for(email, smtp, since, 10)
    assert Visitor(server.url).post(denial_in(smtp.to(email)[-1]), sure="y").status == 200
    assert {Visitor(server.url).send_code(f"x{number}@example.com").status for number in range(20)} == {429}
