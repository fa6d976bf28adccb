"""A local mail server and SMS provider, and the messages they received.

Each message is a file, shared by all processes on this machine.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import structlog
from sqlalchemy.engine import make_url

from app import clock
from app.crypto import secrets
from app.extensions import settings

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

    from config.settings import Settings

MAX_MESSAGES = 200
"""Maximum number of messages. The oldest are deleted first."""


@dataclass(frozen=True)
class StoredMessage:
    """A received message. ``at`` is a Unix time; ``html`` is empty if there is none."""

    id: str
    channel: str
    to: str
    subject: str
    text: str
    html: str
    at: float

    def public_fields(self) -> dict[str, Any]:
        """Return the fields for pages and API clients. ``html`` only tells whether there is any."""
        return asdict(self) | {"html": bool(self.html), "at": datetime.fromtimestamp(self.at, UTC)}


class Store:
    """A folder of messages, newest first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, channel: str, to: str, text: str, *, subject: str = "", html: str = "") -> StoredMessage:
        """Store a message, and delete the oldest ones beyond MAX_MESSAGES. Raises OSError if it can't be written."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stored = StoredMessage(
            f"{time.time_ns():019d}-{secrets.row_id()[:8]}", channel, to, subject, text, html, clock.unix()
        )
        temporary_file = self.folder / f"{stored.id}.draft"
        temporary_file.write_text(json.dumps(asdict(stored)), encoding="utf-8")
        os.replace(temporary_file, self._path(stored.id))
        for old in self._ids()[MAX_MESSAGES:]:
            with suppress(FileNotFoundError):  # another process deleted it first
                self._path(old).unlink()
        return stored

    def get(self, message_id: str) -> StoredMessage | None:
        """Return a message, or None if it doesn't exist (anymore)."""
        if message_id not in self._ids():  # the id comes from a URL and might be a path
            return None
        try:
            return _read(self._path(message_id))
        except FileNotFoundError:
            return None

    def __iter__(self) -> Iterator[StoredMessage]:
        for message_id in self._ids():
            with suppress(FileNotFoundError):
                yield _read(self._path(message_id))

    def _ids(self) -> list[str]:
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted((name.removesuffix(".json") for name in names if name.endswith(".json")), reverse=True)

    def _path(self, message_id: str) -> Path:
        return self.folder / f"{message_id}.json"


@lru_cache(maxsize=2 * MAX_MESSAGES)
def _read(path: Path) -> StoredMessage:
    return StoredMessage(**json.loads(path.read_text(encoding="utf-8")))


def store_of(settings: Settings) -> Store:
    """Return the store of a service: next to its SQLite database, else in ``var/``."""
    database = make_url(settings.database_url).database if settings.is_sqlite else ""
    folder = Path("var") if not database or database == ":memory:" else Path(database).parent
    return Store(folder / "inbox")


log = structlog.get_logger()

HOST = "127.0.0.1"
MAX_SMS_BYTES = 65536
"""Maximum size of a request in bytes."""


class MailCatcher:
    """Receives mail at ``mail_url`` and text messages at ``sms_url``, both only on the loopback interface.

    ``run`` is meant for a process of its own; ``with MailCatcher(): ...`` serves during the block. The URLs are known
    before it starts. Without ``store``, messages go to the store of the current app.
    """

    def __init__(self, store: Store | None = None, *, mail_port: int = 0, sms_port: int = 0) -> None:
        self.store = store or store_of(settings)
        self.mail_port = mail_port or _free_port()
        self.sms_port = sms_port or _free_port()
        self._mail: Any = None
        self._sms: ThreadingHTTPServer | None = None

    @property
    def mail_url(self) -> str:
        return f"smtp://{HOST}:{self.mail_port}"

    @property
    def sms_url(self) -> str:
        return f"http://{HOST}:{self.sms_port}/messages"

    def start(self) -> None:
        """Listen in threads of this process. Raises OSError if a port is in use."""
        from aiosmtpd.controller import Controller  # loads asyncio, which the service doesn't need otherwise

        self._mail = Controller(MailHandler(self.store), hostname=HOST, port=self.mail_port, ready_timeout=10)
        self._mail.start()
        self._sms = ThreadingHTTPServer((HOST, self.sms_port), _sms_handler(self.store))
        self._sms.daemon_threads = True
        threading.Thread(target=self._sms.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        if self._mail is not None:
            self._mail.stop(no_assert=True)
        if self._sms is not None:
            self._sms.shutdown()
            self._sms.server_close()
        self._mail = self._sms = None

    def run(self, stop: threading.Event) -> None:
        """Serve until ``stop`` is set."""
        with self:
            stop.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


class MailHandler:
    """Receives mail: aiosmtpd calls ``handle_DATA``."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store one mail."""
        mail = message_from_bytes(cast("bytes", envelope.content or b""), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        parts = {kind: _part(mail, kind) for kind in ("plain", "html")}
        try:
            to = ", ".join(envelope.rcpt_tos)
            self.store.put("mail", to, parts["plain"], subject=str(mail["Subject"] or ""), html=parts["html"])
        except OSError as error:
            log.warning("dev_inbox.cannot_keep", error=type(error).__name__)
            return "452 4.3.1 The mailbox takes nothing now"
        return "250 2.0.0 Taken"


def _part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body(preferencelist=(kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


def _sms_handler(store: Store) -> type[BaseHTTPRequestHandler]:
    class SmsHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(self._store())
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _store(self) -> int:
            """Store one text message; return the response status."""
            size = int(self.headers.get("Content-Length") or 0)
            if size > MAX_SMS_BYTES:
                return 413
            try:
                body = json.loads(self.rfile.read(size))
                store.put("sms", str(body["to"]), str(body["text"]))
            except (ValueError, KeyError, TypeError):
                return 400
            except OSError:
                return 503
            return 202

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named so by http.server
            """Log nothing, because messages contain passcodes."""

    return SmsHandler


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
