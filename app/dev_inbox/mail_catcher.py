"""A mail server and an SMS provider on this machine, and the messages they stored.

A message is one file, shared by all processes of this machine.
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

KEPT = 200
"""Messages, at most; the oldest go first."""


@dataclass(frozen=True)
class StoredMessage:
    """One message as it arrived. ``at`` is in seconds since 1970; ``html`` is empty where there is none."""

    id: str
    channel: str
    to: str
    subject: str
    text: str
    html: str
    at: float

    def shown(self) -> dict[str, Any]:
        """Return what pages and API clients get of this message; ``html`` only says whether there is any."""
        return asdict(self) | {"html": bool(self.html), "at": datetime.fromtimestamp(self.at, UTC)}


class Store:
    """A folder of messages, newest first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, channel: str, to: str, text: str, *, subject: str = "", html: str = "") -> StoredMessage:
        """Keep a message and let go of the oldest beyond KEPT. Raises OSError when the disk does not take it."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = StoredMessage(
            f"{time.time_ns():019d}-{secrets.row_id()[:8]}", channel, to, subject, text, html, clock.unix()
        )
        draft = self.folder / f"{kept.id}.draft"
        draft.write_text(json.dumps(asdict(kept)), encoding="utf-8")
        os.replace(draft, self._path(kept.id))
        for old in self._ids()[KEPT:]:
            with suppress(FileNotFoundError):  # another process was quicker
                self._path(old).unlink()
        return kept

    def get(self, message_id: str) -> StoredMessage | None:
        """Return one message, or None when there is none (any more)."""
        if message_id not in self._ids():  # not a path: the id comes from a URL
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


@lru_cache(maxsize=2 * KEPT)
def _read(path: Path) -> StoredMessage:
    return StoredMessage(**json.loads(path.read_text(encoding="utf-8")))


def store_of(settings: Settings) -> Store:
    """Return the mailbox of a service: beside its SQLite database, else in ``var/``."""
    database = make_url(settings.database_url).database if settings.is_sqlite else ""
    folder = Path("var") if not database or database == ":memory:" else Path(database).parent
    return Store(folder / "inbox")


log = structlog.get_logger()

HOST = "127.0.0.1"
LARGEST_SMS = 65536
"""Bytes of a request."""


class MailCatcher:
    """Takes mail at ``mail_url`` and text messages at ``sms_url``, both on the loopback interface alone.

    ``run`` is the whole job of a process; ``with Sink(): ...`` serves as long as the block runs. The addresses
    are known before. Without ``store`` the mailbox is that of the current application.
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
        """Listen, in threads of this process. Raises OSError when a port is taken."""
        from aiosmtpd.controller import Controller  # asyncio, which nothing else of the service needs to load

        self._mail = Controller(MailTaker(self.store), hostname=HOST, port=self.mail_port, ready_timeout=10)
        self._mail.start()
        self._sms = ThreadingHTTPServer((HOST, self.sms_port), _sms_taker(self.store))
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


class MailTaker:
    """Takes mails (aiosmtpd calls ``handle_DATA``)."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep one mail."""
        mail = message_from_bytes(cast("bytes", envelope.content or b""), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        words = {kind: _part(mail, kind) for kind in ("plain", "html")}
        try:
            to = ", ".join(envelope.rcpt_tos)
            self.store.put("mail", to, words["plain"], subject=str(mail["Subject"] or ""), html=words["html"])
        except OSError as error:
            log.warning("dev_inbox.cannot_keep", error=type(error).__name__)
            return "452 4.3.1 The mailbox takes nothing now"
        return "250 2.0.0 Taken"


def _part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body(preferencelist=(kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


def _sms_taker(store: Store) -> type[BaseHTTPRequestHandler]:
    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(self._take())
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _take(self) -> int:
            """Keep one text message; return the status of the answer."""
            size = int(self.headers.get("Content-Length") or 0)
            if size > LARGEST_SMS:
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
            """Say nothing: what arrives holds passcodes."""

    return Taker


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
