"""Better Auth as a subject. Clients read the codes in its emails; links are inserted into its database in advance."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from bench.client import Answer, Done, Script, failed
from bench.mailbox import Mailbox
from bench.messages import HOST, cookie_line, get, post
from bench.peers.install import node_app
from bench.servers import Server, free_port
from bench.subject import address, shares

BATCH = 5000
TRIES = 5
COOKIE = "__Secure-better-auth.session_token"


class BetterAuth:
    """Better Auth on its own database, in two Node processes."""

    name = "better-auth"
    without = ("W5",)

    def __init__(self, database_url: str, people: int, directory: Path, processes: int, mailbox: Mailbox) -> None:
        self.count = people
        self.mailbox = mailbox
        self.sessions: list[str] = []
        self.prepared: list[str] = []
        """Tokens of links, or addresses with a code, created in advance."""
        self.next = 0
        self.engine = sa.create_engine(database_url, poolclass=sa.NullPool)
        self.environment = {
            "PEER_DATABASE": database_url.replace("postgresql+psycopg:", "postgresql:"),
            "PEER_KEY": secrets.token_hex(32),
            "PEER_MAIL_PORT": str(mailbox.port),
            "PEER_ORIGIN": f"https://{HOST}",
            "NODE_ENV": "production",
        }
        port = free_port()
        self.app = str(node_app("better_auth_app.mjs"))
        command = ["node", self.app, "serve", str(port), str(processes)]
        self.server = Server(command, self.environment, directory / "better-auth.log", port)

    def populate(self) -> None:
        """Create the tables and the people."""
        subprocess.run(["node", self.app, "make"], env=os.environ | self.environment, check=True)
        now = self._moment()
        rows = ({"id": f"u{number}", "email": address(number), "now": now} for number in range(self.count))
        self._insert(
            'INSERT INTO "user" (id, name, email, "emailVerified", "createdAt", "updatedAt")'
            f" VALUES (:id, '', :email, {'1' if self.engine.dialect.name == 'sqlite' else 'true'}, :now, :now)",
            list(rows),
        )

    def _moment(self, minutes: int = 0) -> Any:
        """Return a time in the format that the package stores in this database."""
        moment = datetime.now(UTC) + timedelta(minutes=minutes)
        sqlite = self.engine.dialect.name == "sqlite"
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if sqlite else moment

    def _insert(self, statement: str, rows: list[dict[str, Any]]) -> None:
        with self.engine.begin() as connection:
            for first in range(0, len(rows), BATCH):
                connection.execute(sa.text(statement), rows[first : first + BATCH])

    def start(self) -> float:
        return self.server.start("/healthz")

    def prepare(self, work: str, operations: int) -> None:
        self.next = secrets.randbelow(self.count)
        if work == "W3":
            self.prepared = [secrets.token_hex(16) for _ in range(operations)]
            values = {
                f"magic-link:{token}": orjson.dumps({"type": "magic-link", "email": address(number % self.count)})
                for number, token in enumerate(self.prepared)
            }
            self._ask(values)
        elif work == "W4":
            self.prepared = [address(number) for number in range(min(self.count, operations // TRIES + 1))]
            self._ask({f"sign-in-otp-{email}": b"123456:0" for email in self.prepared})

    def _ask(self, values: dict[str, bytes]) -> None:
        """Store codes and links as if the package had sent them, keyed by its identifiers."""
        now, end = self._moment(), self._moment(minutes=10)
        with self.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM verification"))
        self._insert(
            'INSERT INTO verification (id, identifier, value, "expiresAt", "createdAt", "updatedAt")'
            " VALUES (:id, :name, :value, :end, :now, :now)",
            [
                {"id": secrets.token_hex(16), "name": name, "value": value.decode(), "end": end, "now": now}
                for name, value in values.items()
            ],
        )

    def finish_backlog(self) -> float:
        return 0.0

    def scripts(self, work: str, clients: int) -> list[Script]:
        plays = {"W1": self._sign_in, "W2": self._check, "W3": self._follow, "W4": self._guess}
        count = {"W1": self.count, "W2": len(self.sessions)}.get(work, len(self.prepared))
        return [plays[work](share) for share in shares(count, clients, self.next if work == "W1" else 0)]

    def _sign_in(self, share: Iterator[int]) -> Script:
        for number in share:
            email = address(number)
            self.mailbox.pop_code(email)
            answer = yield post("/api/auth/email-otp/send-verification-otp", {"email": email, "type": "sign-in"})
            if answer is None or answer.status != 200:
                yield failed(answer)
                continue
            yield self.mailbox.until_mail(email)
            code = self.mailbox.pop_code(email)
            answer = yield post("/api/auth/sign-in/email-otp", {"email": email, "otp": code})
            yield self._opened(answer, 200)

    def _opened(self, answer: Answer | None, status: int) -> Done:
        if answer and answer.status == status and COOKIE in (cookies := answer.cookies()):
            self.sessions.append(cookie_line(cookies))
            return Done()
        return failed(answer)

    def _follow(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield get(
                f"/api/auth/magic-link/verify?token={self.prepared[number]}&callbackURL=%2F", accept="text/html"
            )
            yield self._opened(answer, 302)

    def _check(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield get("/api/auth/get-session", cookies=self.sessions[number])
            right = answer is not None and answer.status == 200 and b'"user"' in answer.body
            yield Done() if right else failed(answer)

    def _guess(self, share: Iterator[int]) -> Script:
        for number in share:
            for _ in range(TRIES):
                answer = yield post("/api/auth/sign-in/email-otp", {"email": self.prepared[number], "otp": "000000"})
                right = answer is not None and answer.status == 400 and b"INVALID_OTP" in answer.body
                yield Done() if right else failed(answer)
