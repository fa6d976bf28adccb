"""A mail server and an SMS provider on this machine that put everything in the inbox."""

from __future__ import annotations

import json
import socket
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self, cast

import structlog

from app.dev_inbox.store import Store, store_of
from app.extensions import settings

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

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
        from aiosmtpd.controller import Controller  # a development dependency

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
