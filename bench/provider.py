"""OpenID Connect: code exchange, userinfo, introspection and silent requests, in Latchkey and npm oidc-provider.

``python -m bench.provider`` prints a table like ``python -m bench``. Uses PostgreSQL, two processes each, and RS256.
All data is in the database before measuring starts; every session belongs to a different person.
"""

import argparse
import base64
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.bare import Bare
from bench.client import Answer, Done, Script
from bench.databases import databases
from bench.latchkey import Latchkey
from bench.messages import HOST
from bench.results import Results
from bench.run import run_clients
from bench.servers import ROOT, Server, free_port
from bench.subject import shares

WORKS = {"O1": "code exchanged", "O2": "userinfo", "O3": "introspection", "O4": "silent request, answered by a code"}
REDIRECT = "https://app.example.com/callback"
VERIFIER = secrets.token_urlsafe(32)
SECRET = secrets.token_urlsafe(32)


@dataclass(slots=True)
class Visitor:
    """A person with a session, an unused code, and a token."""

    cookies: str
    code: str
    token: str


def challenge() -> str:
    """Return the PKCE challenge of all codes."""
    return base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def form(path: str, fields: dict[str, str]) -> bytes:
    """Return a form request of the client ``app``, with its secret."""
    body = urlencode(fields).encode()
    basic = base64.b64encode(f"app:{SECRET}".encode()).decode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Basic {basic}\r\nX-Forwarded-Proto: https\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def fetch(path: str, header: str) -> bytes:
    """Return a GET request with an additional header."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{header}\r\nX-Forwarded-Proto: https\r\n\r\n".encode()


@dataclass
class Paths:
    """Paths of the endpoints."""

    authorize: str
    token: str
    userinfo: str
    introspect: str
    ready: str


class Provider:
    """Base of both subjects: visitors, and the client scripts for them."""

    name: str
    server: Server
    paths: Paths
    visitors: list[Visitor]
    works: Iterable[str] = WORKS
    used: int = 0
    """Number of codes used in earlier rounds."""

    def start(self) -> float:
        return self.server.start(self.paths.ready)

    def scripts(self, work: str, clients: int) -> list[Script]:
        plays = {"O1": self._exchange, "O2": self._userinfo, "O3": self._introspect, "O4": self._authorize}
        if work == "O1":
            left = list(range(self.used, len(self.visitors)))
            return [self._exchange(iter(left[client::clients])) for client in range(clients)]
        return [plays[work](share) for share in shares(len(self.visitors), clients, 0)]

    def _exchange(self, share: Iterator[int]) -> Script:
        for number in share:
            self.used = max(self.used, number + 1)
            fields = {"grant_type": "authorization_code", "code": self.visitors[number].code}
            answer = yield form(self.paths.token, fields | {"redirect_uri": REDIRECT, "code_verifier": VERIFIER})
            yield done(answer, 200, b'"id_token"')
        raise RuntimeError(f"{self.name} has no codes left: make more people")

    def _userinfo(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield fetch(self.paths.userinfo, f"Authorization: Bearer {self.visitors[number].token}")
            yield done(answer, 200, b"@example.com")

    def _introspect(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield form(self.paths.introspect, {"token": self.visitors[number].token})
            yield done(answer, 200, b'"active":true')

    def _authorize(self, share: Iterator[int]) -> Script:
        query = urlencode({
            "client_id": "app", "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid email",
            "prompt": "none", "state": "s", "nonce": "n", "code_challenge": challenge(),
            "code_challenge_method": "S256",
        })  # fmt: skip
        for number in share:
            answer = yield fetch(f"{self.paths.authorize}?{query}", f"Cookie: {self.visitors[number].cookies}")
            ok = answer is not None and answer.status in (302, 303) and "code=" in answer.header("location")
            yield Done(ok, f"{answer and answer.status} {answer and answer.header('location')[:300]}")


def done(answer: Answer | None, status: int, text: bytes) -> Done:
    """Return an operation, successful if the response has this status and contains ``text``."""
    right = answer is not None and answer.status == status and text in answer.body
    return Done(right, f"{answer and answer.status} {answer and answer.body[:200]!r}")


class Ours(Provider):
    """Latchkey, with the client in its clients file."""

    name = "latchkey"
    paths = Paths("/oauth/authorize", "/oauth/token", "/oauth/userinfo", "/oauth/introspect", "/healthz")

    def __init__(self, database_url: str, people: int, directory: Path, processes: int) -> None:
        self.inner = Latchkey(database_url, people, directory, processes, free_port())
        self.server = self.inner.server
        clients = directory / "clients.toml"
        digest = hashlib.sha256(SECRET.encode()).hexdigest()
        clients.write_text(
            f'[clients.app]\nname = "App"\nredirect_uris = ["{REDIRECT}"]\nsecret_digest = "sha256:{digest}"\n'
            'consent = "trusted"\n'
        )
        self.inner.environment["LATCHKEY_CLIENTS_FILE"] = str(clients)

    def populate(self) -> None:
        """Create the accounts, each with a session, a code and a token."""
        self.inner.populate()
        import sqlalchemy as sa

        from app import clock
        from app.extensions import db
        from app.oidc.models import Grant

        with self.inner.app.app_context():
            self.visitors = [self._visitor(person.user_id) for person in self.inner.people]
            tomorrow = clock.now() + timedelta(days=1)
            db.session.execute(sa.update(Grant).values(expires_at=tomorrow, code_expires_at=tomorrow))
            db.session.commit()
            db.session.remove()
            db.engine.dispose()

    def _visitor(self, user_id: int) -> Visitor:
        import sqlalchemy as sa

        from app import clock
        from app.crypto import secrets as ours
        from app.extensions import db
        from app.oidc import access_tokens, grants
        from app.oidc.authorization import Authorization
        from app.oidc.clients import find_client
        from app.oidc.models import Grant
        from app.sessions.models import AuthSession

        now, cookie = clock.now(), ours.token()
        values: dict[str, Any] = {
            "digest": ours.digest(cookie), "session_id": ours.row_id(), "user_id": user_id, "kind": "browser",
            "amr": "email", "created_at": now, "seen_at": now, "authenticated_at": now,
            "expires_at": now + timedelta(days=1), "persistent": False, "address": "", "agent": "", "untold": False,
        }  # fmt: skip
        session = AuthSession(**values)
        db.session.add(session)
        db.session.flush()
        client = find_client("app")
        assert client is not None
        scopes = ("openid", "email", "profile")
        asked = Authorization(client, REDIRECT, scopes, nonce="n", code_challenge=challenge())
        codes = [grants.issue_code(asked, scopes, session) for _ in range(2)]
        digest = Grant.code_digest == ours.digest(codes[1])
        grant = db.session.scalars(sa.select(Grant).where(digest)).one()
        token = access_tokens.issue(grant, "handle", client, scopes, "").token
        return Visitor(f"__Host-latchkey_session={cookie}", codes[0], token)


class Theirs(Provider):
    """npm oidc-provider, with an adapter for PostgreSQL."""

    name = "oidc-provider"
    paths = Paths("/auth", "/token", "/me", "/token/introspection", "/.well-known/openid-configuration")

    def __init__(self, database_url: str, people: int, directory: Path, processes: int) -> None:
        from joserfc.jwk import RSAKey

        keys = {"keys": [RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": "one"}).as_dict(private=True)]}
        self.people = people
        self.environment = {
            "PEER_DATABASE": database_url.replace("postgresql+psycopg:", "postgresql:"),
            "PEER_SECRET": SECRET,
            "PEER_VERIFIER": VERIFIER,
            "PEER_KEYS": json.dumps(keys),
            "NODE_ENV": "production",
        }
        port = free_port()
        command = ["node", "bench/peer_provider.mjs", "serve", str(port), str(processes)]
        self.server = Server(command, self.environment, directory / "peer.log", port)

    def populate(self) -> None:
        """Create sessions, codes and tokens with the package's own models."""
        command = ["node", "bench/peer_provider.mjs", "make", str(self.people)]
        made = subprocess.run(command, cwd=ROOT, env=os.environ | self.environment, check=True, capture_output=True)
        lines = [line.split() for line in made.stdout.decode().splitlines()]
        self.visitors = [Visitor(f"_session={session}", code, token) for session, code, token in lines]


class Floor(Provider):
    """The floor app, which reads one row by the digest of a token: the least that userinfo can cost with Flask."""

    name = "floor"
    works = ("O2",)

    def __init__(self, database_url: str, people: int, directory: Path, processes: int) -> None:
        self.inner = Bare(database_url, people, directory, processes)
        self.server = self.inner.server

    def start(self) -> float:
        return self.inner.start()

    def populate(self) -> None:
        """Create the users, and a token for each."""
        self.inner.populate()
        from bench import floor

        tokens = [secrets.token_urlsafe(32) for _ in range(self.inner.people)]
        self.visitors = [Visitor("", "", token) for token in tokens]
        digests = [hashlib.sha256(token.encode()).hexdigest() for token in tokens]
        rows = [{"digest": digest, "user_id": number + 1, "created_at": 1} for number, digest in enumerate(digests)]
        with self.inner.app.app_context():
            floor.db.session.execute(floor.sa.insert(floor.Session), rows)
            floor.db.session.commit()
            floor.db.session.remove()
            floor.db.engine.dispose()

    def _userinfo(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield fetch("/one-row", f"Cookie: floor={self.visitors[number].token}")
            yield done(answer, 200, b"")


def main() -> None:
    """Measure both in turn and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.provider", description=__doc__)
    parser.add_argument("--people", type=int, default=30_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped, too
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as made, ExitStack() as stack:
        store = stack.enter_context(databases("postgresql", Path(made)))
        subjects: list[Provider] = []
        for kind in (Theirs, Floor, Ours):
            subject = kind(store.make(kind.name), options.people, Path(made), options.processes)
            subject.populate()
            stack.callback(subject.server.stop)
            subjects.append(subject)
        store.analyze()
        results = Results([subject.name for subject in subjects], {Theirs.name: "peer"}, works=WORKS)
        for subject in subjects:
            results.starts[subject.name].append(subject.start())
        for _ in range(options.rounds):
            for work in options.works:
                for subject in (each for each in subjects if work in each.works):
                    run = run_clients(subject.server, subject.scripts(work, options.clients), options.seconds, store)
                    results.add(subject.name, work, run)
        for subject in subjects:
            results.memory[subject.name] = subject.server.memory()
        print(results.table(), flush=True)


if __name__ == "__main__":
    main()
