"""PostgreSQL stops between an app's code and its tokens: a JSON error, and nothing lost or issued twice."""

from __future__ import annotations

import json
import time
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from app.crypto import secrets
from tests.client_rows import basic
from tests.faults.accounts import application_on, open_many
from tests.faults.visitors import Answer, Visitor, answer_to, signed_in_visitor
from tests.oidc import RelyingParty, register
from tests.sinks import until

ANSWERED_WITHIN = 6.0


class App:
    """An app that calls the server over sockets, and accepts any response."""

    def __init__(self, rp: RelyingParty, visitor: Visitor) -> None:
        self.rp = rp
        self.visitor = visitor

    def code(self) -> str:
        """Return the code that its visitor brings."""
        location = self.visitor.get(self.rp.request()).header("location")
        return parse_qs(urlsplit(location).query)["code"][0]

    def exchange(self, code: str) -> Answer:
        """Exchange a code."""
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.rp.redirect_uri}
        return self.post("/oauth/token", fields | {"code_verifier": self.rp.verifier})

    def refresh(self, token: str) -> Answer:
        """Exchange a refresh token."""
        return self.post("/oauth/token", {"grant_type": "refresh_token", "refresh_token": token})

    def post(self, path: str, fields: dict[str, str]) -> Answer:
        """Post a form with the app's secret."""
        body = urlencode(fields)
        kind = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        secret = f"Authorization: {basic(self.rp.id, self.rp.secret)['Authorization']}\r\n"
        return self._ask(f"POST {path}", kind + secret, body)

    def userinfo(self, token: str) -> Answer:
        """Get the claims for a token."""
        return self._ask("GET /oauth/userinfo", f"Authorization: Bearer {token}\r\n")

    def _ask(self, what: str, headers: str, body: str = "") -> Answer:
        always = f"Host: {self.visitor.host}\r\nAccept: text/html,*/*\r\nConnection: close\r\n"
        request = f"{what} HTTP/1.1\r\n{always}{headers}\r\n{body}"
        return answer_to(self.visitor.address, request.encode())


@pytest.fixture(scope="module")
def rp(own_postgresql) -> RelyingParty:
    """A registered app."""
    with application_on(own_postgresql.database) as app:
        return register(app)


@pytest.fixture(scope="module")
def addresses(own_postgresql) -> list[str]:
    """Some accounts."""
    return open_many(own_postgresql.database, 4)


@pytest.fixture
def server(own_postgresql, start):
    """A server on that database."""
    return start(own_postgresql.database)


def read(answer: Answer) -> dict[str, str]:
    """Return the JSON of an endpoint for clients."""
    assert answer.header("content-type") == "application/json"
    found: dict[str, str] = json.loads(answer.body)
    return found


def check_unavailable(answer: Answer) -> None:
    """Check that an app is told to retry."""
    assert (answer.status, answer.header("retry-after")) == (503, "2")
    assert read(answer)["error"] == "temporarily_unavailable"
    assert answer.seconds < ANSWERED_WITHIN


def test_authorization_code_survives_a_database_outage_before_its_exchange(own_postgresql, server, rp, addresses, smtp):
    app = App(rp, signed_in_visitor(server.url, addresses[0], smtp))
    before = read(app.exchange(app.code()))
    code = app.code()
    own_postgresql.stop_at_once()
    for _ in range(3):
        check_unavailable(app.exchange(code))
        check_unavailable(app.refresh(before["refresh_token"]))
        check_unavailable(app.userinfo(before["access_token"]))
        check_unavailable(app.post("/oauth/introspect", {"token": before["access_token"]}))
        check_unavailable(app.post("/oauth/revoke", {"token": before["access_token"]}))
    own_postgresql.start()
    until(lambda: app.visitor.get("/readyz").status == 200, 5)
    tokens = read(app.exchange(code))
    assert app.userinfo(tokens["access_token"]).status == 200
    assert app.userinfo(before["access_token"]).status == 200
    assert read(app.refresh(before["refresh_token"]))["refresh_token"] != before["refresh_token"]
    assert read(app.exchange(code))["error"] == "invalid_grant"
    assert app.userinfo(tokens["access_token"]).status == 401


def test_authorization_code_survives_a_database_freeze_during_its_exchange(own_postgresql, server, rp, addresses, smtp):
    app = App(rp, signed_in_visitor(server.url, addresses[1], smtp))
    app.exchange(app.code())
    code = app.code()
    with own_postgresql.frozen():
        check_unavailable(app.exchange(code))
    until(lambda: app.visitor.get("/readyz").status == 200, 5)
    time.sleep(1)  # for requests that the frozen server may still process
    tokens = read(app.exchange(code))
    assert app.userinfo(tokens["access_token"]).status == 200
    of_code = f"SELECT id FROM oauth_grant WHERE code_digest = '{secrets.digest(code)}'"
    given = own_postgresql.database.query(f"SELECT count(*) FROM oauth_token WHERE grant_id IN ({of_code})")
    assert given == [(1,)]
    assert read(app.exchange(code))["error"] == "invalid_grant"
