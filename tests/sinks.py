"""Destinations of messages: a real SMTP server and a real HTTP provider for SMS, both local.

Each has a ``mode`` that determines how it misbehaves, and records what it receives.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

MODES = ("ok", "slow", "busy", "refuse", "drop", "down")
"""Accept; accept after ``delay``; temporary failure; permanent failure; hang up after accepting; be unreachable."""


@dataclass(frozen=True)
class Mail:
    """An email as the server received it."""

    to: list[str]
    sender: str
    raw: bytes
    message: EmailMessage = field(repr=False)

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.message.get_body(preferencelist=(kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part else ""


@dataclass(frozen=True)
class Sms:
    """A text message as the provider received it, with the headers of its request."""

    to: str
    text: str
    headers: dict[str, str] = field(repr=False)
    raw: dict[str, Any] = field(repr=False)


class Sink:
    """Base of both sinks: listening, modes, and waiting for messages."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.modes: dict[str, str] = {}
        self.delay = 5.0
        self.attempts = 0
        self._arrived = threading.Condition()
        self._hurry = threading.Event()

    def reset(self) -> None:
        """Discard everything, release waiting clients, and return to normal behavior."""
        self._hurry.set()
        if self.mode == "down":
            self.up()
        self.mode, self.modes, self.delay, self.attempts = "ok", {}, 5.0, 0
        self._hurry = threading.Event()
        self._forget()

    def mode_for(self, to: str) -> str:
        """Return the mode for a message to ``to``: by domain or number from ``modes``, else ``mode``."""
        return self.modes.get(to.rpartition("@")[2], self.mode)

    def up(self) -> None:
        """Start listening."""
        raise NotImplementedError

    def down(self) -> None:
        """Stop listening, so that connections are refused until ``up`` or ``reset``."""
        raise NotImplementedError

    def _forget(self) -> None:
        raise NotImplementedError

    def _wait_for(self, kept: list[Any], count: int, seconds: float) -> None:
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(kept) >= count, seconds)
        assert arrived, f"{count} messages were expected within {seconds} s, {len(kept)} arrived"


class SmtpSink(Sink):
    """A mail server; ``mails`` has the accepted emails, oldest first.

    ``connections`` counts greetings, ``farewells`` is the number of upcoming emails to answer by closing the
    connection, ``hesitation`` is the delay in seconds before it accepts the start of an email, and ``refusal`` a reply
    that rejects it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Mail] = []
        self.connections = 0
        self.farewells = 0
        self.hesitation = 0.0
        self.refusal = ""
        self.port = _free_port()
        self._controller: Controller | None = None
        self.up()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def to(self, address: str) -> list[Mail]:
        """Return the emails to ``address``, oldest first."""
        return [mail for mail in self.mails if address in mail.to]

    def wait(self, count: int = 1, seconds: float = 10) -> list[Mail]:
        """Return all emails once there are ``count`` of them. Raise AssertionError after ``seconds``."""
        self._wait_for(self.mails, count, seconds)
        return self.mails

    def up(self) -> None:
        if self._controller is None:
            self._controller = Controller(self, hostname="127.0.0.1", port=self.port, enable_SMTPUTF8=False)
            self._controller.start()
        self.mode = "ok"

    def down(self) -> None:
        if self._controller is not None:
            self._controller.stop(no_assert=True)
            self._controller = None
        self.mode = "down"

    def _forget(self) -> None:
        self.mails.clear()
        self.connections, self.farewells, self.hesitation, self.refusal = 0, 0, 0.0, ""

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, offers: list[str]
    ) -> list[str]:
        """Count the connection (called by aiosmtpd)."""
        session.host_name = hostname
        self.connections += 1
        return offers

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Start an email, or misbehave (called by aiosmtpd)."""
        if self.farewells:
            self.farewells -= 1
            return "421 4.3.2 Come again"
        if self.refusal:
            return self.refusal
        if self.hesitation:
            await asyncio.to_thread(self._hurry.wait, self.hesitation)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Go on"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Accept an email, or misbehave (called by aiosmtpd)."""
        self.attempts += 1
        mode = self.mode_for(envelope.rcpt_tos[0])
        if mode == "busy":
            return "451 4.3.0 Try again later"
        if mode == "refuse":
            return "550 5.1.1 No such mailbox"
        if mode == "slow":
            await asyncio.to_thread(self._hurry.wait, self.delay)
        self._keep(envelope)
        if mode == "drop":
            server.transport.abort()
        return "250 2.0.0 Taken"

    def _keep(self, envelope: Envelope) -> None:
        raw = bytes(envelope.original_content or b"")
        message = message_from_bytes(raw, policy=policy.default)
        assert isinstance(message, EmailMessage)
        with self._arrived:
            self.mails.append(Mail(list(envelope.rcpt_tos), envelope.mail_from or "", raw, message))
            self._arrived.notify_all()


class SmsStub(Sink):
    """A provider that accepts ``{"to", "text"}`` by POST; ``texts`` has the accepted messages, oldest first.

    ``refusals`` are responses (status and headers) to give first, ``body`` is the body of its responses, and ``rate``
    the minimum number of seconds between two messages (else 429).
    """

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[Sms] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.body, self.rate, self._free_at = "{}", 0.0, 0.0
        self.port = _free_port()
        self._server: ThreadingHTTPServer | None = None
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/messages"

    def to(self, number: str) -> list[Sms]:
        """Return the messages to ``number``, oldest first."""
        return [text for text in self.texts if text.to == number]

    def wait(self, count: int = 1, seconds: float = 10) -> list[Sms]:
        """Return all messages once there are ``count`` of them. Raise AssertionError after ``seconds``."""
        self._wait_for(self.texts, count, seconds)
        return self.texts

    def up(self) -> None:
        if self._server is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
            self._server.daemon_threads = True
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.mode = "ok"

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.mode = "down"

    def take(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, dict[str, str]] | None:
        """Accept a message or misbehave; return the response's status and headers, or None to hang up."""
        with self._arrived:
            self.attempts += 1
            if self.refusals:
                return self.refusals.pop(0)
            if self.rate and time.monotonic() < self._free_at:
                return 429, {"Retry-After": "1"}
            self._free_at = time.monotonic() + self.rate
        mode = self.mode_for(str(body.get("to")))
        if mode in ("busy", "refuse"):
            return {"busy": 500, "refuse": 400}[mode], {}
        if mode == "slow":
            self._hurry.wait(self.delay)
        with self._arrived:
            self.texts.append(Sms(str(body.get("to")), str(body.get("text")), headers, body))
            self._arrived.notify_all()
        return None if mode == "drop" else (202, {})

    def _forget(self) -> None:
        self.texts.clear()
        self.refusals.clear()
        self.body, self.rate, self._free_at = "{}", 0.0, 0.0

    def _handler(stub) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the request's handler below
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = stub.take(body, dict(self.headers.items()))
                if answer is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                said = stub.body.encode()
                self.send_response_only(answer[0])
                headers = {"Date": self.date_time_string(), "Content-Length": str(len(said))} | answer[1]
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *args: Any) -> None:
                """Log nothing."""

        return Handler


def code_in(message: Mail | Sms) -> str:
    """Return the only passcode in an email or text message, without spaces. Raise AssertionError if there isn't one."""
    bound = re.findall(r"#(\d{6,8})\s*\Z", message.text)
    alone = re.findall(r"^[ \t]*(\d{3,4} \d{3,4}|\d{6,8})[ \t]*$", message.text, re.MULTILINE)
    found = {code.replace(" ", "") for code in bound or alone}
    assert len(found) == 1, f"one code was expected, {len(found)} found in:\n{message.text}"
    return found.pop()


def links_in(mail: Mail) -> list[str]:
    """Return the distinct links in both parts of an email, in order."""
    found = re.findall(r"https?://[^\s<>\"]+", mail.text) + re.findall(r"href=\"([^\"]+)\"", mail.html)
    return list(dict.fromkeys(unescape(link).rstrip(".,)") for link in found))


def link_in(mail: Mail, path: str = "") -> str:
    """Return the only link with a token (and ``path``) in an email. Raise AssertionError if there isn't one."""
    carrying = ("token=", "/confirm/", "/invite/", "/sign-in-link/")
    found = [link for link in links_in(mail) if path in link and any(each in link for each in carrying)]
    assert len(found) == 1, f"one link with {path!r} was expected, found {found} in:\n{mail.text}"
    return found[0]


def denial_in(mail: Mail) -> str:
    """Return the path of the "not me" link in an email. Raise AssertionError if there isn't one."""
    found = {urlsplit(link).path for link in links_in(mail) if "/not-me/" in link}
    assert len(found) == 1, f"one link that denies was expected, found {found} in:\n{mail.text}"
    return found.pop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- fixtures -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def smtp_server() -> Iterator[SmtpSink]:
    """The mail server of this test process."""
    sink = SmtpSink()
    yield sink
    sink.down()


@pytest.fixture(scope="session")
def sms_provider() -> Iterator[SmsStub]:
    """The SMS provider of this test process."""
    stub = SmsStub()
    yield stub
    stub.down()


@pytest.fixture
def smtp(smtp_server: SmtpSink) -> Iterator[SmtpSink]:
    """The mail server, emptied: ``smtp.mails``, ``smtp.mode = "slow"``, ``smtp.down()``."""
    smtp_server.reset()
    yield smtp_server
    smtp_server.reset()


@pytest.fixture
def sms(sms_provider: SmsStub) -> Iterator[SmsStub]:
    """The SMS provider, emptied: ``sms.texts``, ``sms.mode = "busy"``, ``sms.down()``."""
    sms_provider.reset()
    yield sms_provider
    sms_provider.reset()


def until(question: Any, seconds: float = 10, every: float = 0.02) -> Any:
    """Poll ``question()`` and return its first true result. Raise AssertionError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"did not become true within {seconds} s"
        time.sleep(every)
    return answer
