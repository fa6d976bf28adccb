"""The floor app as a subject: its people, and how clients use it."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyotp
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.client import Answer, Done, Script
from bench.messages import cookie_line, get, post
from bench.passkeys import KEY
from bench.servers import Server, free_port, python
from bench.subject import shares

BATCH = 5000
POINT = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class Bare:
    """The floor app on a database of its own."""

    name = "floor"

    def __init__(self, database_url: str, people: int, directory: Path, processes: int) -> None:
        self.people = people
        self.secrets: list[str] = []
        self.sessions: list[str] = []
        self.next = 0
        self.url = database_url
        port = free_port()
        command = python("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port))
        command += ["--workers", str(processes), "--blocking-threads", "4", "--no-ws", "--http", "1", "bench.floor:app"]
        environment = {"FLOOR_DATABASE": database_url}
        self.server = Server(command, environment, directory / "floor.log", port)

    def populate(self) -> None:
        """Make the tables and the people."""
        os.environ["FLOOR_DATABASE"] = self.url
        from bench import floor

        app = floor.create_app()
        with app.app_context():
            floor.db.create_all()
            for first in range(0, self.people, BATCH):
                rows = [
                    {"address": f"person{number}@example.com", "secret": pyotp.random_base32(), "key": POINT}
                    for number in range(first, min(first + BATCH, self.people))
                ]
                self.secrets += [row["secret"] for row in rows]
                floor.db.session.execute(floor.sa.insert(floor.User), rows)
                floor.db.session.commit()
            floor.db.session.remove()
            floor.db.engine.dispose()

    def start(self) -> float:
        return self.server.start("/healthz")

    def get_ready(self, work: str, operations: int) -> None:
        self.next = secrets.randbelow(self.people)

    def settle(self) -> float:
        return 0.0

    def scripts(self, work: str, clients: int) -> list[Script]:
        plays = {"W1": self._sign_in, "W2": self._check, "W3": self._follow, "W4": self._guess, "W5": self._passkey}
        return [plays[work](share) for share in shares(self.people, clients, self.next)]

    def _code(self, number: int) -> str:
        return pyotp.TOTP(self.secrets[number]).now()

    def _sign_in(self, share: Iterator[int]) -> Script:
        for number in share:
            address = f"person{number}@example.com"
            answer = yield post("/send-code", {"address": address})
            if answer and answer.status == 200:
                answer = yield post("/sign-in", {"address": address, "code": self._code(number)})
            yield self._opened(answer, 200)

    def _follow(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield get(f"/link?address=person{number}@example.com&code={self._code(number)}")
            yield self._opened(answer, 302)

    def _passkey(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield post("/challenge", {})
            if answer and answer.status == 200:
                challenge = orjson.loads(answer.body)["challenge"]
                signature = KEY.sign(challenge.encode(), ec.ECDSA(SHA256())).hex()
                signed = {"challenge": challenge, "signature": signature}
                answer = yield post("/passkey", {"address": f"person{number}@example.com"} | signed)
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
            body = {"address": f"person{number}@example.com", "code": "00000x"}
            answer = yield post("/sign-in", body)
            yield Done(bool(answer and answer.status == 400), f"{answer and answer.status}")
