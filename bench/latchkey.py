"""Latchkey as a subject: ``flask serve`` as in production, and clients that know the keys.

Clients don't read emails: they derive the code in the email with the application's own functions, from the secrets
in the database. The emails are still delivered, by the server's own worker.
"""

import base64
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import orjson
import sqlalchemy as sa

from bench import passkeys
from bench.client import Answer, Done, Script
from bench.messages import AGENT, HOST, cookie_line, get, post
from bench.servers import ROOT, Server, free_port, python, served_python
from bench.subject import address, home, shares

BATCH = 500
LINKS_AT_ONCE = 5000
TRIES = 5
BACKLOG_TIMEOUT = 300.0


@dataclass(slots=True)
class Person:
    """What a client knows about an account."""

    user_id: int
    enrolled_id: str
    root: bytes
    subject: str
    address: str


@dataclass(slots=True)
class PreparedChallenge:
    """A challenge created in advance, and the cookie of the browser that requested it."""

    number: int
    cookie: str
    token: str
    csrf: str


LIMIT_SETTINGS = {
    "LATCHKEY_LIMITS": "on",
    "LATCHKEY_FAILURES_PER_HOUR": "100",
    "LATCHKEY_FAILURES_PER_DAY": "500",
    "LATCHKEY_FAILURES_IN_A_ROW": "1000",
    "LATCHKEY_OPEN_CHALLENGES": "100",
    "LATCHKEY_MAILS_PER_HOUR": "1000",
    "LATCHKEY_MAILS_PER_DAY": "1000",
    "LATCHKEY_MAILS_PER_HOUR_OVERALL": "100000000",
}
"""Settings for limits: the defaults for limits by IP address, and high values for the others over several rounds."""


def environment(database_url: str, queue: Path, mail_port: int) -> dict[str, str]:
    """Return the settings of a production server behind a proxy, without limits."""
    return {
        "LATCHKEY_ENVIRONMENT": "production",
        "LATCHKEY_DATABASE_URL": database_url,
        "LATCHKEY_SECRET_KEYS": os.urandom(32).hex(),
        "LATCHKEY_PUBLIC_URL": f"https://{HOST}",
        "LATCHKEY_MAIL_URL": f"smtp://127.0.0.1:{mail_port}",
        "LATCHKEY_MAIL_ALLOW_PLAINTEXT": "on",
        "LATCHKEY_QUEUE_URL": f"sqlite:///{queue}",
        "LATCHKEY_METHODS": "email,authenticator",
        "LATCHKEY_TRUSTED_PROXIES": "1",
        "LATCHKEY_LIMITS": "off",
        "MALLOC_ARENA_MAX": "2",  # as in the image
    }


class Latchkey:
    """Our server on its own database, and an app on the same database in this process."""

    without: tuple[str, ...] = ()

    def __init__(
        self,
        database_url: str,
        people: int,
        directory: Path,
        processes: int,
        mail_port: int,
        *more: str,
        limits: bool = False,
    ) -> None:
        """``more`` are additional options of ``flask serve``; with ``limits`` everyone uses their own IP address."""
        self.name = "latchkey, limits on" if limits else "latchkey"
        self.count = people
        self.people: list[Person] = []
        self.sessions: list[str] = []
        self.prepared: list[PreparedChallenge] = []
        self.passkeys: list[passkeys.Passkey] = []
        self.next = 0
        self.environment = environment(database_url, directory / f"{self.name}-queue.db", mail_port)
        self.environment |= LIMIT_SETTINGS if limits else {}
        port = free_port()
        command = served_python(
            "-m", "flask", "--app", "wsgi", "serve", "--port", str(port), "--workers", str(processes), *more
        )
        self.server = Server(command, self.environment, directory / f"{self.name}.log", port)

    def populate(self) -> None:
        """Migrate the database and create the accounts, as ``flask users import`` does."""
        command = python("-m", "flask", "--app", "wsgi", "db", "upgrade")
        subprocess.run(command, cwd=ROOT, env=os.environ | self.environment, check=True, capture_output=True)
        os.environ.update(self.environment | {"LATCHKEY_LOG_LEVEL": "critical"})
        from app import create_app
        from app.cli.imports.run import import_lines
        from app.extensions import db

        self.app = create_app()
        lines = (orjson.dumps({"email": address(number)}) for number in range(self.count))
        with self.app.app_context():
            tally = import_lines(lines, _stop, lambda _size: None)
            if tally.created != self.count:
                raise RuntimeError(f"not all accounts could be opened: {tally}")
            self._learn()
            self.passkeys = passkeys.make()
            db.session.remove()
            db.engine.dispose()

    def _learn(self) -> None:
        """Read the email code secret of every account that has one."""
        from app.challenges.passcodes import enrolled_context
        from app.enrollments.models import Enrollment
        from app.extensions import db, keyring
        from app.users import Identity
        from app.users.lookup import subject_of

        reached = sa.and_(Identity.user_id == Enrollment.user_id, Identity.kind == "email", Identity.is_primary)
        sealed = (Enrollment.method == "email", Enrollment.secret != "")
        rows = sa.select(Enrollment, Identity.value).join(Identity, reached).where(*sealed).order_by(Enrollment.user_id)
        for row, where in db.session.execute(rows):
            root = keyring.open(row.secret, *enrolled_context(row))
            self.people.append(Person(row.user_id, row.id, root, subject_of(row.user_id, ""), where))

    def start(self) -> float:
        return self.server.start("/healthz")

    def prepare(self, work: str, operations: int) -> None:
        self.next = int.from_bytes(os.urandom(4)) % self.count
        if work in ("W3", "W4"):
            self.prepared = []
            wanted = operations if work == "W3" else operations // TRIES + 1
            with self.app.app_context():
                for first in range(0, wanted, LINKS_AT_ONCE):
                    self._ask(range(first, min(first + LINKS_AT_ONCE, wanted)))

    def _ask(self, numbers: range) -> None:
        """Store a sent challenge for each of these people, as if the email had just arrived."""
        from app import clock
        from app.challenges.magic_links import link_token
        from app.challenges.models import Challenge
        from app.crypto import secrets
        from app.extensions import db

        now = clock.now()
        end = now + timedelta(minutes=10)
        rows = []
        for number in (each % self.count for each in numbers):
            person, cookie = self.people[number], secrets.token()
            row = {
                "id": secrets.row_id(), "purpose": "sign_in", "method": "email", "subject": person.subject,
                "user_id": person.user_id, "enrolled_id": person.enrolled_id, "secret": "",
                "destination": person.address, "binding": secrets.digest(cookie), "address": "127.0.0.1",
                "agent": AGENT, "tag": "K7Q2", "next": "", "created_at": now, "passcode_expires_at": end,
                "expires_at": end, "sends": 1, "last_sent_at": now, "tries": 0,
            }  # fmt: skip
            rows.append(row)
            token = link_token(Challenge(**row), person.root)
            self.prepared.append(
                PreparedChallenge(number, cookie_line({"__Host-latchkey_browser": cookie}), token, csrf(cookie))
            )
        db.session.execute(sa.insert(Challenge.__table__), rows)  # type: ignore[arg-type]
        db.session.commit()

    def finish_backlog(self) -> float:
        """Wait until all emails have been sent."""
        from app.extensions import db
        from app.outbox import Message

        began = time.perf_counter()
        waiting = sa.select(sa.func.count()).where(Message.state.in_(("waiting", "sending")))
        with self.app.app_context():
            while left := db.session.scalar(waiting):
                if time.perf_counter() - began > BACKLOG_TIMEOUT:
                    raise RuntimeError(f"{left} mails have not left after {BACKLOG_TIMEOUT} s")
                time.sleep(0.1)
                db.session.rollback()
        return time.perf_counter() - began

    def statements(self, work: str, operations: int = 50) -> dict[str, tuple[int, float]]:
        """Return the number of SQL statements and the CPU time in ms of each request, run in this process only."""
        from app.extensions import db
        from bench.inside import statements_per_request

        self.prepare(work, operations * 2)
        with self.app.app_context():
            engine = db.engine
        return statements_per_request(self.app, engine, self.scripts(work, 1)[0], operations)

    def scripts(self, work: str, clients: int) -> list[Script]:
        plays = {"W1": self._sign_in, "W2": self._check, "W3": self._follow, "W4": self._guess, "W5": self._passkey}
        count = {"W1": self.count, "W2": len(self.sessions), "W5": self.count}.get(work, len(self.prepared))
        return [plays[work](share) for share in shares(count, clients, self.next if work in ("W1", "W5") else 0)]

    def _sign_in(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield post(
                "/us-signin/send-code",
                {"identity": self.people[number].address, "chosen_method": "email"},
                caller=home(number),
            )
            if answer is None or answer.status != 200:
                yield Done(False, f"send-code {answer and answer.status} {answer and answer.body[:200]!r}")
                continue
            told, cookies = orjson.loads(answer.body)["response"], answer.cookies()
            code = self._code(number, told["challenge"], cookies["__Host-latchkey_browser"])
            body = {"identity": self.people[number].address, "passcode": code, "challenge": told["challenge"]}
            answer = yield post(
                "/us-signin", body, cookies=cookie_line(cookies), csrf=told["csrf_token"], caller=home(number)
            )
            yield self._opened(answer, 200)

    def _code(self, number: int, handle: str, cookie: str) -> str:
        from app.challenges.models import Challenge
        from app.challenges.passcodes import passcode_of
        from app.crypto import secrets

        person = self.people[number]
        given = cookie.split(".")[1]  # after the long-lived secret, newest first (app/web/cookies.py)
        known = {"method": "email", "subject": person.subject, "binding": secrets.digest(given)}
        with self.app.app_context():
            return passcode_of(Challenge(id=handle.partition(".")[0], purpose="sign_in", **known), person.root)

    def _passkey(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield post("/wan-signin", {}, caller=home(number))
            if answer is None or answer.status != 200:
                yield Done(False, f"wan-signin {answer and answer.status} {answer and answer.body[:200]!r}")
                continue
            told, cookies = orjson.loads(answer.body)["response"], cookie_line(answer.cookies())
            body = {"credential": passkeys.sign(self.passkeys[number], told["credential_options"])}
            answer = yield post(
                f"/wan-signin/{told['wan_state']}", body, cookies=cookies, csrf=told["csrf_token"], caller=home(number)
            )
            yield self._opened(answer, 200)

    def _opened(self, answer: Answer | None, status: int) -> Done:
        cookies = answer.cookies() if answer else {}
        if answer and answer.status == status and "__Host-latchkey_session" in cookies:
            self.sessions.append(cookie_line(cookies))
            return Done()
        return Done(False, f"{answer and answer.status} {answer and answer.body[:200]!r}")

    def _check(self, share: Iterator[int]) -> Script:
        for number in share:
            answer = yield get("/us-signin", cookies=self.sessions[number], caller=home(number))
            right = answer is not None and answer.status == 200 and b'"user":' in answer.body
            yield Done(right, f"{answer and answer.status}")

    def _follow(self, share: Iterator[int]) -> Script:
        for number in share:
            challenge = self.prepared[number]
            answer = yield get(
                f"/us-verify-link?token={challenge.token}",
                cookies=challenge.cookie,
                accept="text/html",
                caller=home(number),
            )
            yield self._opened(answer, 302)

    def _guess(self, share: Iterator[int]) -> Script:
        for number in share:
            challenge = self.prepared[number]
            body = {"identity": self.people[challenge.number].address, "passcode": "00000000"}
            for _ in range(TRIES):
                answer = yield post(
                    "/us-signin", body, cookies=challenge.cookie, csrf=challenge.csrf, caller=home(number)
                )
                right = answer is not None and answer.status == 400 and b"generic_authn_failed" in answer.body
                yield Done(right, f"{answer and answer.status} {answer and answer.body[:200]!r}")


def csrf(cookie: str) -> str:
    """Return a CSRF token for this browser cookie, as an earlier response would have included."""
    from app import clock
    from app.extensions import keyring
    from app.web import csrf as tokens

    stamp = tokens._STAMP.pack(os.urandom(8), int(clock.unix()))
    return base64.urlsafe_b64encode(stamp + tokens._mac(keyring.kid, cookie, stamp)).decode()


def _stop(number: int, line: bytes, why: str) -> None:
    raise RuntimeError(f"account {number} was refused: {why}")
