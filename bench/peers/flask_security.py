"""Flask-Security-Too as a subject. All accounts share one secret, from which the load client derives the codes."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyotp

from bench.client import Answer, Done, Script
from bench.messages import cookie_line, get, post
from bench.peers.install import python_of
from bench.servers import ROOT, granian
from bench.subject import address, shares


class FlaskSecurity:
    """Flask-Security-Too on its own database, served in the same way as the floor."""

    name = "flask-security"
    without = ("W5",)
    """Works that this client doesn't implement."""

    def __init__(self, database_url: str, people: int, directory: Path, processes: int, mail_port: int) -> None:
        self.count = people
        self.names: list[str] = []
        self.sessions: list[str] = []
        self.secret = ""
        self.next = 0
        self.python = python_of("flask-security")
        self.environment = {
            "PEER_DATABASE": database_url,
            "PEER_KEY": secrets.token_hex(32),
            "PEER_MAIL_PORT": str(mail_port),
        }
        app = "bench.peers.flask_security_app:app"
        self.server = granian(app, self.environment, directory, processes, self.python)

    def populate(self) -> None:
        """Create the tables and the people."""
        command = [self.python, "-m", "bench.peers.flask_security_app", str(self.count)]
        made = subprocess.run(command, cwd=ROOT, env=os.environ | self.environment, check=True, capture_output=True)
        self.secret, *self.names = made.stdout.decode().split()

    def start(self) -> float:
        return self.server.start("/healthz")

    def prepare(self, work: str, operations: int) -> None:
        self.next = secrets.randbelow(self.count)

    def finish_backlog(self) -> float:
        return 0.0

    def scripts(self, work: str, clients: int) -> list[Script]:
        plays = {"W1": self._sign_in, "W2": self._check, "W3": self._follow, "W4": self._guess}
        return [plays[work](share) for share in shares(self.count, clients, self.next)]

    def _visit(self) -> Iterator[bytes]:
        """Get a visitor's cookie and CSRF token from the first page; once per client."""
        answer = yield get("/us-signin")  # type: ignore[misc]
        return cookie_line(answer.cookies()), orjson.loads(answer.body)["response"]["csrf_token"]  # type: ignore[return-value]

    def _code(self) -> str:
        return pyotp.TOTP(self.secret).now()

    def _sign_in(self, share: Iterator[int]) -> Script:
        cookies, token = yield from self._visit()  # type: ignore[misc]
        for number in share:
            person = {"identity": address(number), "csrf_token": token}
            answer = yield post("/us-signin/send-code", person | {"chosen_method": "email"}, cookies=cookies)
            if answer and answer.status == 200:
                answer = yield post("/us-signin", person | {"passcode": self._code()}, cookies=cookies)
            yield self._opened(answer, 200)

    def _follow(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield get(f"/us-verify-link?id={self.names[number]}&code={self._code()}", accept="text/html")
            yield self._opened(answer, 302)

    def _opened(self, answer: Answer | None, status: int) -> Done:
        cookies = answer.cookies() if answer else {}
        if answer and answer.status == status and "session" in cookies:
            self.sessions.append(cookie_line(cookies))
            return Done()
        return Done(False, f"{answer and answer.status} {answer and answer.body[:200]!r}")

    def _check(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield get("/us-signin", cookies=self.sessions[number % len(self.sessions)])
            right = answer is not None and answer.status == 200 and b'"user"' in answer.body
            yield Done(right, f"{answer and answer.status}")

    def _guess(self, share: Iterator[int]) -> Script:
        cookies, token = yield from self._visit()  # type: ignore[misc]
        for number in share:
            body = {"identity": address(number), "passcode": "000000", "csrf_token": token}
            answer = yield post("/us-signin", body, cookies=cookies)
            yield Done(bool(answer and answer.status == 400), f"{answer and answer.status}")
