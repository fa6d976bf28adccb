"""Two servers on one database, fifty sockets each, one code: exactly one request succeeds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.databases import Database
from tests.faults.accounts import open_one
from tests.faults.visitors import SESSION, Answer, Visitor, answer_to, answers_at_once, code_for
from tests.serving import Server
from tests.sinks import SmtpSink, link_in, until

pytestmark = pytest.mark.both_databases

SOCKETS = 50
"""At each of the two servers."""

ROUNDS = range(2)


@dataclass
class Replicas:
    """Two servers of one process each, on one database, with the same public URL."""

    database: Database
    servers: tuple[Server, Server]

    def visitor(self) -> Visitor:
        """Return a new visitor."""
        return Visitor(self.servers[0].url)

    def race(self, request: bytes, sockets: int = SOCKETS) -> list[Answer]:
        """Send the same request that many times to each server at the same moment."""
        addresses = [("127.0.0.1", server.port) for server in self.servers]
        return answers_at_once([(address, request) for address in addresses for _ in range(sockets)])

    def count(self, what: str) -> int:
        """Return the number of rows ``FROM`` this."""
        found: int = self.database.query(f"SELECT count(*) FROM {what}")[0][0]
        return found


@pytest.fixture(scope="module")
def shared_replicas():
    """The replicas of each kind of database."""
    return {}


@pytest.fixture
def replicas(database, databases, shared_replicas, start_shared) -> Replicas:
    """Two servers on a database of this kind; tests share them."""
    if database.kind not in shared_replicas:
        fresh = databases.fresh(database.kind)
        first = start_shared(fresh, workers=1)
        shared = {name: first.environment[name] for name in ("LATCHKEY_PUBLIC_URL", "LATCHKEY_QUEUE_URL")}
        shared_replicas[database.kind] = Replicas(fresh, (first, start_shared(fresh, workers=1, **shared)))
        for each in shared_replicas[database.kind].servers:  # a cold process and a crowd are another test
            assert (
                Visitor(each.url).post("/us-signin", identity="nobody@example.com", passcode="00000000").status == 400
            )
    return shared_replicas[database.kind]


def code_sent(replicas: Replicas, smtp: SmtpSink, address: str) -> tuple[Visitor, str]:
    """Return someone who has requested a code, and the code."""
    visitor, since = replicas.visitor(), len(smtp.mails)
    assert visitor.send_code(address).status == 200
    code = code_for(address, smtp, since, 10)
    assert code
    return visitor, code


def won(answers: list[Answer]) -> list[Answer]:
    """Return the responses that signed someone in."""
    return [answer for answer in answers if answer.cookies.get(SESSION)]


@pytest.mark.parametrize("number", ROUNDS)
def test_concurrent_use_of_one_code_creates_one_session(replicas, smtp, number):
    ada = open_one(replicas.database, email=f"code{number}@example.com")
    visitor, code = code_sent(replicas, smtp, ada.email)
    answers = replicas.race(visitor.prepared("/us-signin", identity=ada.email, passcode=code))
    assert sorted(answer.status for answer in answers) == [200] + [400] * (2 * SOCKETS - 1)
    assert len(won(answers)) == 1
    assert replicas.count(f"auth_session WHERE user_id = {ada.id}") == 1
    assert replicas.count(f"event WHERE name = 'sign_in.succeeded' AND user_id = {ada.id}") == 1


@pytest.mark.parametrize("number", ROUNDS)
def test_concurrent_use_of_one_link_creates_one_session(replicas, smtp, number):
    ada = open_one(replicas.database, email=f"link{number}@example.com")
    visitor, _ = code_sent(replicas, smtp, ada.email)
    link = urlsplit(link_in(smtp.to(ada.email)[-1], "/us-verify-link"))
    answers = replicas.race(visitor.request("GET", f"{link.path}?{link.query}"))
    assert {answer.status for answer in answers} == {302}
    assert [answer.header("location") for answer in won(answers)] == ["/"]
    assert replicas.count(f"auth_session WHERE user_id = {ada.id}") == 1


@pytest.mark.parametrize("number", ROUNDS)
def test_concurrent_use_of_one_authenticator_code_creates_one_session(replicas, number):
    ada = open_one(replicas.database, email=f"app{number}@example.com", methods=["authenticator"])
    request = replicas.visitor().prepared("/us-signin", identity=ada.email, passcode=ada.app_code())
    answers = replicas.race(request)
    assert sorted(answer.status for answer in answers) == [200] + [400] * (2 * SOCKETS - 1)
    assert replicas.count(f"auth_session WHERE user_id = {ada.id}") == 1


def test_concurrent_use_of_a_code_and_its_link_creates_one_session(replicas, smtp):
    ada = open_one(replicas.database, email="both@example.com")
    visitor, code = code_sent(replicas, smtp, ada.email)
    link = urlsplit(link_in(smtp.to(ada.email)[-1], "/us-verify-link"))
    by_code = visitor.prepared("/us-signin", identity=ada.email, passcode=code)
    by_link = visitor.request("GET", f"{link.path}?{link.query}")
    addresses = [("127.0.0.1", server.port) for server in replicas.servers]
    answers = answers_at_once(
        [(address, each) for _ in range(4) for address in addresses for each in (by_code, by_link)]
    )
    assert len(won(answers)) == 1
    assert replicas.count(f"auth_session WHERE user_id = {ada.id}") == 1


def test_forty_concurrent_guesses_of_one_code_check_only_five(replicas, smtp):
    ada = open_one(replicas.database, email="guessed@example.com")
    visitor, code = code_sent(replicas, smtp, ada.email)
    guesses = [f"{(int(code) + number) % 10**8:08}" for number in range(1, 41)]
    requests = [visitor.prepared("/us-signin", identity=ada.email, passcode=guess) for guess in guesses]
    addresses = [("127.0.0.1", server.port) for server in replicas.servers]
    answers = answers_at_once([(addresses[number % 2], request) for number, request in enumerate(requests)])
    assert {answer.status for answer in answers} == {400}
    assert replicas.database.query(f"SELECT tries FROM challenge WHERE user_id = {ada.id}") == [(5,)]
    assert visitor.sign_in(ada.email, code).status == 400
    assert replicas.count(f"auth_session WHERE user_id = {ada.id}") == 0


@pytest.mark.parametrize("number", ROUNDS)
def test_concurrent_refresh_token_reuse_succeeds_once_and_revokes_the_session(replicas, number):
    ada = open_one(replicas.database, email=f"refresh{number}@example.com", methods=["authenticator"])
    visitor, path = replicas.visitor(), "/us-signin?include_auth_token&include_refresh_token"
    given = visitor.post(path, identity=ada.email, passcode=ada.app_code()).json["user"]
    body = json.dumps({"refresh_token": given["refresh_token"]}).encode()
    answers = replicas.race(replicas.visitor().request("POST", "/us-refresh", body), sockets=10)
    assert sorted(answer.status for answer in answers) == [200] + [401] * 19
    assert replicas.count(f"auth_session WHERE user_id = {ada.id} AND kind = 'browser' AND revoked_at IS NULL") == 0
    assert replicas.count(f"event WHERE name = 'refresh.reused' AND user_id = {ada.id}") == 1
    assert not visitor.is_signed_in()


def test_revocation_at_one_server_takes_effect_immediately_at_the_other(replicas):
    ada = open_one(replicas.database, email="ended@example.com", methods=["authenticator"])
    visitor, path = replicas.visitor(), "/us-signin?include_auth_token&include_refresh_token"
    user = visitor.post(path, identity=ada.email, passcode=ada.app_code()).json["user"]
    made = visitor.post("/tokens", name="x", scopes=["read"], expires_in_days=1).json
    body = json.dumps({"refresh_token": user["refresh_token"]}).encode()
    tokens = [user["authentication_token"], made["token"]]
    assert [asked_at_the_other(replicas, token) for token in tokens] == [200, 200]
    assert visitor.post(f"/tokens/{made['created']['id']}/revoke").status == 200
    assert [asked_at_the_other(replicas, token) for token in tokens] == [200, 401]
    assert visitor.post("/logout").status == 200
    assert asked_at_the_other(replicas, tokens[0]) == 401
    other = ("127.0.0.1", replicas.servers[1].port)
    assert answer_to(other, replicas.visitor().request("POST", "/us-refresh", body)).status == 401


def asked_at_the_other(replicas: Replicas, token: str) -> int:
    """Return the second server's response to a request with ``token``."""
    request = replicas.visitor().request("GET", "/")
    brought = request.replace(b"\r\n\r\n", f"\r\nAuthentication-Token: {token}\r\n\r\n".encode())
    return answer_to(("127.0.0.1", replicas.servers[1].port), brought).status


def test_two_servers_send_each_mail_once(replicas, smtp):
    people = [open_one(replicas.database, email=f"once{number}@example.com") for number in range(10)]
    visitor = replicas.visitor()
    asks = [visitor.prepared("/us-signin/send-code", identity=ada.email, chosen_method="email") for ada in people]
    addresses = [("127.0.0.1", server.port) for server in replicas.servers]
    answers_at_once([(addresses[number % 2], request) for number, request in enumerate(asks)])
    until(lambda: replicas.count("message WHERE state IN ('waiting', 'sending')") == 0)
    assert [len(smtp.to(ada.email)) for ada in people] == [1] * len(people)


@pytest.mark.parametrize("number", ROUNDS)
def test_concurrent_requests_with_one_idempotency_key_send_one_mail(replicas, smtp, number):
    ada = open_one(replicas.database, email=f"key{number}@example.com")
    asked = replicas.visitor().prepared("/us-signin/send-code", identity=ada.email, chosen_method="email")
    keyed = asked.replace(b"\r\n\r\n", f"\r\nIdempotency-Key: key of round {number}\r\n\r\n".encode(), 1)
    answers = replicas.race(keyed, sockets=10)
    assert [answer.status for answer in answers] == [200] * 20
    assert len({answer.json["challenge"] for answer in answers}) == 1
    until(lambda: replicas.count("message WHERE state IN ('waiting', 'sending')") == 0)
    assert (replicas.count(f"challenge WHERE user_id = {ada.id}"), len(smtp.to(ada.email))) == (1, 1)
