"""django-allauth, headless, as a subject. Clients read the codes in its emails."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.client import Answer, Done, Script, failed
from bench.mailbox import Mailbox
from bench.messages import cookie_line, get, post
from bench.peers.install import python_of
from bench.servers import ROOT, granian
from bench.subject import address, shares

API = "/_allauth/browser/v1/auth"
TRIES = 5


class Allauth:
    """django-allauth on its own database, served in the same way as the floor."""

    name = "django-allauth"
    without = ("W3", "W5")
    """It has no sign-in links, and passkeys aren't implemented here."""

    def __init__(self, database_url: str, people: int, directory: Path, processes: int, mailbox: Mailbox) -> None:
        self.count = people
        self.mailbox = mailbox
        self.sessions: list[str] = []
        self.prepared: list[str] = []
        """Session keys of sign-ins started in advance."""
        self.next = 0
        self.python = python_of("django-allauth")
        self.environment = {
            "PEER_DATABASE": database_url.replace("postgresql+psycopg:", "postgresql:"),
            "PEER_KEY": secrets.token_hex(32),
            "PEER_MAIL_PORT": str(mailbox.port),
        }
        self.server = granian("bench.peers.allauth_app:app", self.environment, directory, processes, self.python)

    def _run(self, what: str, count: int) -> list[str]:
        command = [self.python, "-m", "bench.peers.allauth_app", what, str(count)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | self.environment, check=True, stdout=subprocess.PIPE)
        return done.stdout.decode().split()

    def populate(self) -> None:
        """Create the tables and the people."""
        self._run("people", self.count)

    def start(self) -> float:
        return self.server.start("/healthz")

    def prepare(self, work: str, operations: int) -> None:
        self.next = secrets.randbelow(self.count)
        self.prepared = self._run("ask", min(self.count, operations // TRIES + 1)) if work == "W4" else []

    def finish_backlog(self) -> float:
        return 0.0

    def scripts(self, work: str, clients: int) -> list[Script]:
        plays = {"W1": self._sign_in, "W2": self._check, "W4": self._guess}
        count = {"W2": len(self.sessions), "W4": len(self.prepared)}.get(work, self.count)
        return [plays[work](share) for share in shares(count, clients, self.next if work == "W1" else 0)]

    def _sign_in(self, share: Iterator[int]) -> Script:
        token = secrets.token_hex(16)
        for number in share:
            email = address(number)
            self.mailbox.pop_code(email)
            answer = yield post(
                f"{API}/code/request", {"email": email}, cookies=cookie_line({"csrftoken": token}), csrf=token
            )
            cookies = answer.cookies() if answer else {}
            if answer is None or answer.status != 401 or "sessionid" not in cookies:
                yield failed(answer)
                continue
            yield self.mailbox.until_mail(email)
            code = self.mailbox.pop_code(email)
            known = {"csrftoken": token, "sessionid": cookies["sessionid"]}
            answer = yield post(f"{API}/code/confirm", {"code": code}, cookies=cookie_line(known), csrf=token)
            yield self._opened(answer)

    def _opened(self, answer: Answer | None) -> Done:
        if answer and answer.status == 200 and "sessionid" in (cookies := answer.cookies()):
            self.sessions.append(cookie_line(cookies))
            return Done()
        return failed(answer)

    def _check(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield get(f"{API}/session", cookies=self.sessions[number])
            right = answer is not None and answer.status == 200 and b'"user"' in answer.body
            yield Done() if right else failed(answer)

    def _guess(self, share: Iterator[int]) -> Script:
        token = secrets.token_hex(16)
        for number in share:
            cookies = cookie_line({"csrftoken": token, "sessionid": self.prepared[number]})
            for _ in range(TRIES):
                answer = yield post(f"{API}/code/confirm", {"code": "0000-0000"}, cookies=cookies, csrf=token)
                right = answer is not None and answer.status == 400 and b"incorrect_code" in answer.body
                yield Done() if right else failed(answer)
