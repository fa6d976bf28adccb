"""The floor and safe floor apps as subjects: their accounts, and the client scripts for them."""

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyotp
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.client import Answer, Done, Script
from bench.inside import statements_per_request
from bench.messages import cookie_line, get, post
from bench.passkeys import KEY
from bench.servers import granian
from bench.subject import address, home, shares

BATCH = 5000
POINT = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class Bare:
    """The floor app on its own database."""

    name = "floor"
    without: tuple[str, ...] = ()

    def __init__(self, database_url: str, people: int, directory: Path, processes: int) -> None:
        self.people = people
        self.secrets: list[str] = []
        self.sessions: list[str] = []
        self.next = 0
        self.url = database_url
        self.server = granian("bench.floor:app", {"FLOOR_DATABASE": database_url}, directory, processes)

    def populate(self) -> None:
        """Make the tables and the people."""
        from bench import floor

        os.environ["FLOOR_DATABASE"] = self.url
        self.app = floor.create_app()
        with self.app.app_context():
            floor.db.create_all()
            for first in range(0, self.people, BATCH):
                rows = [
                    {"address": address(number), "secret": pyotp.random_base32(), "key": POINT}
                    for number in range(first, min(first + BATCH, self.people))
                ]
                self.secrets += [row["secret"] for row in rows]
                floor.db.session.execute(floor.sa.insert(floor.User), rows)
                floor.db.session.commit()
            floor.db.session.remove()
            floor.db.engine.dispose()

    def start(self) -> float:
        return self.server.start("/healthz")

    def prepare(self, work: str, operations: int) -> None:
        self.next = secrets.randbelow(self.people)

    def finish_backlog(self) -> float:
        return 0.0

    def statements(self, work: str, operations: int = 50) -> dict[str, tuple[int, float]]:
        """Return the number of SQL statements and the CPU time in ms of each request, run in this process only."""
        self.prepare(work, operations * 2)
        with self.app.app_context():
            engine = self.app.extensions["sqlalchemy"].engine
        return statements_per_request(self.app, engine, self.scripts(work, 1)[0], operations)

    def scripts(self, work: str, clients: int) -> list[Script]:
        plays = {"W1": self._sign_in, "W2": self._check, "W3": self._follow, "W4": self._guess, "W5": self._passkey}
        return [plays[work](share) for share in shares(self.people, clients, self.next)]

    def _code(self, number: int) -> str:
        return pyotp.TOTP(self.secrets[number]).now()

    def _sign_in(self, share: Iterator[int]) -> Script:
        for number in share:
            person = {"address": address(number)}
            answer = yield post("/send-code", person)
            if answer and answer.status == 200:
                answer = yield post("/sign-in", person | {"code": self._code(number)})
            yield self._opened(answer, 200)

    def _follow(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield get(f"/link?address={address(number)}&code={self._code(number)}")
            yield self._opened(answer, 302)

    def _passkey(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield post("/challenge", {})
            if answer and answer.status == 200:
                challenge = orjson.loads(answer.body)["challenge"]
                signature = KEY.sign(challenge.encode(), ec.ECDSA(SHA256())).hex()
                signed = {"challenge": challenge, "signature": signature}
                answer = yield post("/passkey", {"address": address(number)} | signed)
            yield self._opened(answer, 200)

    def _opened(self, answer: Answer | None, status: int) -> Done:
        cookies = answer.cookies() if answer else {}
        if answer and answer.status == status and cookies:
            self.sessions.append(cookie_line(cookies))
            return Done()
        return Done(False, f"{answer and answer.status}")

    def _check(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield get("/me", cookies=self.sessions[number % len(self.sessions)])
            yield Done(bool(answer and answer.status == 200), f"{answer and answer.status}")

    def _guess(self, share: Iterator[int]) -> Script:
        for number in share:
            body = {"address": address(number), "code": "00000x"}
            answer = yield post("/sign-in", body)
            yield Done(bool(answer and answer.status == 400), f"{answer and answer.status}")


class Safe(Bare):
    """The safe floor on its own database. Clients use different IP addresses, because it limits each address."""

    name = "safe floor"
    without = ("W5",)

    def __init__(self, database_url: str, people: int, directory: Path, processes: int) -> None:
        self.people = people
        self.keys: list[bytes] = []
        self.sessions: list[str] = []
        self.prepared: list[tuple[str, str]] = []
        """Cookie and link token of challenges created in advance."""
        self.next = 0
        self.environment = {"SAFE_FLOOR_DATABASE": database_url, "SAFE_FLOOR_KEY": secrets.token_hex(32)}
        self.server = granian("bench.safe_floor:app", self.environment, directory, processes)

    def populate(self) -> None:
        """Make the tables and the people."""
        from bench import safe_floor as floor

        os.environ.update(self.environment)
        self.keys = [os.urandom(32) for _ in range(self.people)]
        self.app = floor.create_app()
        with self.app.app_context():
            floor.db.create_all()
            rows = [
                {"id": number + 1, "address": address(number), "secret": floor.encrypt(key, number + 1)}
                for number, key in enumerate(self.keys)
            ]
            self._insert(floor.User, rows)

    def _insert(self, model: Any, rows: list[dict[str, Any]]) -> None:
        from bench.safe_floor import db, sa

        for first in range(0, len(rows), BATCH):
            db.session.execute(sa.insert(model), rows[first : first + BATCH])
            db.session.commit()
        db.session.remove()
        db.engine.dispose()

    def prepare(self, work: str, operations: int) -> None:
        super().prepare(work, operations)
        self.prepared = []
        if work in ("W3", "W4"):
            from bench import safe_floor as floor

            rows = []
            for number in range(operations if work == "W3" else operations // floor.GUESSES + 1):
                cookie, person = secrets.token_urlsafe(32), number % self.people
                made = floor.digest(cookie)
                rows.append({"id": made, "user_id": person + 1, "expires_at": int(time.time()) + 600, "guesses": 0})
                token = floor.link_token_of(self.keys[person], made).decode()
                self.prepared.append((cookie_line({floor.CHALLENGE_COOKIE: cookie}), token))
            with self.app.app_context():
                self._insert(floor.Challenge, rows)

    def scripts(self, work: str, clients: int) -> list[Script]:
        plays = {"W1": self._sign_in, "W2": self._check, "W3": self._follow, "W4": self._guess}
        count = len(self.prepared) or self.people
        return [plays[work](share) for share in shares(count, clients, 0 if self.prepared else self.next)]

    def _sign_in(self, share: Iterator[int]) -> Script:
        from bench.safe_floor import CHALLENGE_COOKIE, code_of, digest

        for number in share:
            answer = yield post("/send-code", {"address": address(number)}, caller=home(number))
            if answer and answer.status == 200:
                cookies = answer.cookies()
                code = code_of(self.keys[number], digest(cookies[CHALLENGE_COOKIE])).decode()
                answer = yield post("/sign-in", {"code": code}, cookies=cookie_line(cookies), caller=home(number))
            yield self._opened(answer, 200)

    def _follow(self, share: Iterator[int]) -> Script:
        for number in share:
            cookie, token = self.prepared[number]
            answer = yield get(f"/link?token={token}", cookies=cookie, caller=home(number))
            yield self._opened(answer, 302)

    def _guess(self, share: Iterator[int]) -> Script:
        from bench.safe_floor import GUESSES

        for number in share:
            cookie, _ = self.prepared[number]
            for _ in range(GUESSES):
                answer = yield post("/sign-in", {"code": "0000000x"}, cookies=cookie, caller=home(number))
                yield Done(bool(answer and answer.status == 400), f"{answer and answer.status}")
