"""Signing keys are rotated while people sign in to an app at two servers: it can verify every token."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app import clock
from app.extensions import db
from app.oidc.models import SigningKey
from tests.client_rows import REDIRECT_URI, SECRET, basic, register
from tests.faults.accounts import application_on
from tests.faults.visitors import SESSION, answer_to
from tests.serving import Server
from tests.signed_in import sign_in
from tests.sinks import until
from tests.wire import Wire

pytestmark = [pytest.mark.long, pytest.mark.both_databases]

DAY = timedelta(days=1)

PAUSE = 0.03
"""Seconds between two of an app's sign-ins."""


@dataclass
class App:
    """An app that signs one person in again and again, by turns at two servers, and keeps the keys that it has read.

    :ivar reads_again: whether it reads the keys again when it meets one that it does not have, as libraries do
    :ivar kids: by which keys its tokens were signed, in order
    """

    servers: tuple[Server, Server]
    cookie: str
    reads_again: bool = False
    kids: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    keys: Any = None

    def read_keys(self, server: Server) -> None:
        """Fetch the keys from one of the servers."""
        with urllib.request.urlopen(f"{server.url}/oauth/jwks", timeout=10) as answer:
            self.keys = KeySet.import_key_set(json.load(answer))

    def sign_in(self, first: Server, second: Server) -> None:
        """Get a code at one server, exchange it at the other, and verify the ID token."""
        asked = {"response_type": "code", "client_id": "app", "redirect_uri": REDIRECT_URI, "scope": "openid"}
        cookie = {"Cookie": f"{SESSION}={self.cookie}"}
        answer = self._ask(first, "GET", f"/oauth/authorize?{urlencode(asked)}", cookie)
        code = parse_qs(urlsplit(answer.header("location")).query).get("code", [""])[0]
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
        headers = basic("app", SECRET) | {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._ask(second, "POST", "/oauth/token", headers, urlencode(fields).encode())
        if answer.status != 200:
            self.wrong.append(f"{answer.status} {answer.body!r}")
            return
        token = json.loads(answer.body)["id_token"]
        try:
            self.kids.append(self._verified(token))
        except (JoseError, ValueError):
            if self.reads_again:
                self.read_keys(second)
            try:
                self.kids.append(self._verified(token))
            except (JoseError, ValueError) as error:
                self.wrong.append(repr(error))

    def _verified(self, token: str) -> str:
        return str(jwt.decode(token, self.keys, algorithms=["RS256"]).header["kid"])

    def _ask(self, server: Server, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Any:
        known_as = urlsplit(self.servers[0].url).netloc
        lines = [f"{method} {path} HTTP/1.1", f"Host: {known_as}", "Connection: close", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return answer_to(("127.0.0.1", server.port), "\r\n".join([*lines, "", ""]).encode() + body)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Sign in repeatedly in two threads during a block; other tests need the CPUs, too."""
        done = threading.Event()

        def run(first: Server, second: Server) -> None:
            while not done.wait(PAUSE):
                self.sign_in(first, second)

        threads = [threading.Thread(target=run, args=pair) for pair in (self.servers, self.servers[::-1])]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def wait_for(self, kid: str) -> None:
        """Wait until every token has been signed with this key for a while."""
        until(lambda: set(self.kids[-20:]) == {kid}, 40)


@pytest.fixture
def servers(fresh_database, start) -> tuple[Server, Server]:
    """Two servers whose keys are two days old."""
    first = start(fresh_database, workers=1)
    shared = {name: first.environment[name] for name in ("LATCHKEY_PUBLIC_URL", "LATCHKEY_QUEUE_URL")}
    second = start(fresh_database, workers=1, **shared)
    until(lambda: fresh_database.query("SELECT count(*) FROM oauth_key") == [(6,)], 20)
    with application_on(fresh_database) as app, app.app_context():
        two_days_ago = clock.now() - 2 * DAY
        db.session.execute(sa.update(SigningKey).values(created_at=two_days_ago))
        db.session.execute(sa.update(SigningKey).where(SigningKey.number == 1).values(signs_from=two_days_ago))
        db.session.commit()
    return first, second


@pytest.fixture
def opened(fresh_database, servers) -> App:
    """The app, and someone who is signed in."""
    from tests.factories import People

    with application_on(fresh_database) as app:
        register(app, "app", consent="trusted", pkce="optional")
        wire = sign_in(Wire(app, "form"), People(app).open("ada@example.com"))
        cookie = wire.client.get_cookie(SESSION)
        assert cookie is not None
    found = App(servers, cookie.value)
    found.read_keys(servers[0])
    return found


def rotate(database, *words: str) -> list[str]:
    """Run ``flask keys rotate`` and return the lines of its output."""
    with application_on(database) as app:
        done = app.test_cli_runner().invoke(args=["keys", "rotate", "--alg", "RS256", *words])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def kids(database) -> list[str]:
    """Return the IDs of the RS256 keys, oldest first."""
    return [kid for (kid,) in database.query("SELECT kid FROM oauth_key WHERE alg = 'RS256' ORDER BY number")]


def test_signing_key_rotation_breaks_no_sign_in_of_a_client_with_cached_jwks(fresh_database, servers, opened):
    first, following = kids(fresh_database)
    with opened.busy():
        opened.wait_for(first)
        rotate(fresh_database)
        opened.wait_for(following)
    assert opened.wrong == []
    assert set(opened.kids) == {first, following}
    published = []
    for server in servers:
        opened.read_keys(server)
        published.append([key.kid for key in opened.keys.keys])
    assert published[0] == published[1]
    assert first in published[0]


def test_dropping_a_leaked_key_breaks_no_sign_in_of_a_client_that_refetches_jwks(fresh_database, servers, opened):
    opened.reads_again = True
    leaked, following = kids(fresh_database)
    with opened.busy():
        opened.wait_for(leaked)
        since = time.monotonic()
        assert rotate(fresh_database, "--now")[0] == f"RS256  {leaked}  dropped"
        opened.wait_for(following)
        took = time.monotonic() - since
        rotate(fresh_database, "--now")
        opened.wait_for(kids(fresh_database)[0])
    assert opened.wrong == []
    assert took < 15
    for server in servers:
        opened.read_keys(server)
        assert not {leaked, following} & {key.kid for key in opened.keys.keys}
