"""Mail through Flask-Mail: one recipient, TLS that is checked, one Message-ID for all copies of a message."""

from __future__ import annotations

import smtplib
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

import flask_mail

from app.extensions import mail, settings, this_app
from app.outbox.channels import mime, smtp
from app.outbox.channels.cutoff import Conversation, cut_off_after
from app.outbox.channels.failures import Failed, Interrupted

if TYPE_CHECKING:
    from app.outbox.letters import Letter
    from app.outbox.models import Message
    from config.settings import Settings

PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
NOT_IN_AN_ADDRESS = frozenset(' ,;:<>"()[]\\')

_this_thread = threading.local()


def mail_config(settings: Settings) -> dict[str, Any]:
    """Return Flask-Mail's configuration for the mail server of the settings.

    Its debug output is off whatever Flask's is: it would print the conversation, and with it the passcodes.
    """
    parts = urlsplit(settings.mail_url)
    return {
        "MAIL_SERVER": parts.hostname or "",
        "MAIL_PORT": parts.port or PORTS.get(parts.scheme, 25),
        "MAIL_USE_TLS": parts.scheme == "smtp+starttls",
        "MAIL_USE_SSL": parts.scheme == "smtps",
        "MAIL_USERNAME": unquote(parts.username) if parts.username else None,
        "MAIL_PASSWORD": unquote(parts.password) if parts.password else None,
        "MAIL_DEFAULT_SENDER": settings.mail_sender,
        "MAIL_DEBUG": False,
        "MAIL_SUPPRESS_SEND": False,
    }


def send(message: Message, letter: Letter, seconds: float) -> None:
    """Hand one mail to the mail server, or raise within ``seconds`` (and what resolving its name takes).

    :raises Failed: permanently, when the server refused the message (5xx) or it can't be written to that recipient
    :raises Interrupted: when the worker stops meanwhile
    """
    written = _Mail(message, letter)
    try:
        with cut_off_after(seconds) as conversation:
            _send(written, conversation, seconds)
    except (Failed, Interrupted):
        _drop()
        raise
    except Exception as error:  # smtplib, ssl and the system each raise their own
        _drop()
        raise _failure(error) from error


def hang_up() -> None:
    """Say goodbye on this thread's connection, if it has one. Kept open between mails, it saves most of their cost."""
    connection = getattr(_this_thread, "connection", None)
    if connection is not None:
        with suppress(Failed, Interrupted, OSError, smtplib.SMTPException), cut_off_after(1) as conversation:
            conversation.through(connection.host)
            connection.host.quit()
        _drop()


def check(settings: Settings) -> None:
    """Connect to the mail server and sign in, as the next mail would. Raises Failed."""
    seconds = settings.mail_timeout.total_seconds()
    try:
        with cut_off_after(seconds) as conversation:
            _Connection(settings, conversation, seconds).host.close()
    except Failed:
        raise
    except Exception as error:  # smtplib, ssl and the system each raise their own
        raise _failure(error) from error


class _Connection(flask_mail.Connection):
    """Flask-Mail's connection, with an end in time and with certificates checked."""

    host: smtplib.SMTP

    def __init__(self, settings: Settings, conversation: Conversation, seconds: float) -> None:
        if not settings.mail_url:
            raise Failed("no mail server is set")
        super().__init__(cast("flask_mail.Mail", mail.init_mail(mail_config(settings))))
        self.url = settings.mail_url
        self.hello = _hello(_host_name(settings.public_url))
        self.seconds = seconds
        self.conversation = conversation
        self.host = self.configure_host()

    def configure_host(self) -> smtplib.SMTP:
        """Return a client that is connected, protected and signed in."""
        client: smtplib.SMTP
        if self.mail.use_ssl:
            tls = ssl.create_default_context()
            client = smtplib.SMTP_SSL(local_hostname=self.hello, timeout=self.seconds, context=tls)
        else:
            client = smtplib.SMTP(local_hostname=self.hello, timeout=self.seconds)
        client._host = self.mail.server  # type: ignore[attr-defined]  # the name that the certificate must bear
        self.conversation.through(client)
        try:
            client.connect(self.mail.server, self.mail.port)
            if self.mail.use_tls:
                client.starttls(context=ssl.create_default_context())
            if self.mail.username and self.mail.password:
                client.login(self.mail.username, self.mail.password)
            client.ehlo_or_helo_if_needed()
            self.conversation.through(client)  # not over meanwhile
        except BaseException:
            client.close()
            raise
        return client

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        """Send one of our mails, whose addresses were looked at when it was made.

        :raises smtp.Lost: when this connection was given nothing
        """
        octets = message.as_bytes()
        smtp.hand_over(self.host, _sender(message.sender)[1], str(message.recipients[0]), octets)
        if flask_mail.email_dispatched.receivers:
            flask_mail.email_dispatched.send(this_app(), message=message)


class _Mail(flask_mail.Message):
    """A mail whose copies are alike to the last byte: its Message-ID, date and boundary come from the row."""

    def __init__(self, message: Message, letter: Letter) -> None:
        """Flask-Mail's own would ask the system for this machine's full name, which may wait for a name server."""
        _check_recipient(message.to)
        if any(mark in letter.subject for mark in "\r\n\0"):
            raise Failed("subject has a line break", permanent=True)
        self.sender = settings.mail_sender
        self.recipients = [message.to]
        self.subject, self.body = letter.subject, letter.text
        self.alts = {} if letter.html is None else {"html": letter.html}
        self.date = message.created_at.timestamp()
        self.msgId = f"<{message.id}@{_host_name(settings.public_url)}>"
        self.extra_headers = {"Auto-Submitted": "auto-generated"}
        self.cc, self.bcc, self.attachments, self.mail_options, self.rcpt_options = [], [], [], [], []
        self.reply_to = self.charset = None
        self.boundary = f"=_{message.id}"

    def as_bytes(self) -> bytes:
        """Return the mail as it goes out: alternatives alone, without the envelope that attachments would need."""
        headers = [
            ("Subject", self.subject),
            ("From", _sender(self.sender)[0]),
            ("To", str(self.recipients[0])),
            ("Date", format_datetime(datetime.fromtimestamp(self.date or 0, UTC))),
            ("Message-ID", self.msgId),
            *(self.extra_headers or {}).items(),
        ]
        return mime.written(headers, self.body or "", self.html, self.boundary)


@lru_cache(maxsize=8)
def _sender(sender: str) -> tuple[str, str]:
    """Return a sender as its header has it, and its address alone."""
    shown = " ".join(flask_mail.sanitize_address(sender).split())
    return shown, parseaddr(shown)[1]


def _check_recipient(address: str) -> None:
    """Let through what is exactly one address: a comma would make it two, a line break another header."""
    sound = address.isascii() and address.isprintable() and address.count("@") == 1
    if not sound or NOT_IN_AN_ADDRESS.intersection(address):
        raise Failed("recipient is not one address", permanent=True)


@lru_cache(maxsize=8)
def _host_name(url: str) -> str:
    return urlsplit(url).hostname or "localhost"


def _hello(name: str) -> str:
    """Return the name to greet a mail server with; asking the system for one may wait for a name server."""
    return f"[{name}]" if name.replace(".", "").isdigit() else name


def _send(written: _Mail, conversation: Conversation, seconds: float) -> None:
    """Send over this thread's connection; over a new one when there is none, or the server has left it meanwhile."""
    known: _Connection | None = getattr(_this_thread, "connection", None)
    if known is not None and known.url == settings.mail_url:
        conversation.through(known.host)
        try:
            known.send(written)
        except smtp.Lost:  # it was given nothing, so this is no second copy
            pass
        else:
            return
    _drop()
    connection = _this_thread.connection = _Connection(settings, conversation, seconds)
    connection.send(written)


def _drop() -> None:
    """Forget this thread's connection without a word."""
    connection = getattr(_this_thread, "connection", None)
    _this_thread.connection = None
    if connection is not None:
        connection.host.close()


def _failure(error: Exception) -> Failed:
    """Say what went wrong by its number alone: what servers say may quote the mail."""
    if isinstance(error, smtp.Lost) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code = next(iter(error.recipients.values()))[0]
        return Failed(f"recipient refused ({code})", permanent=code >= 500)
    if isinstance(error, (smtplib.SMTPSenderRefused, smtplib.SMTPDataError)):
        return Failed(f"message refused ({error.smtp_code})", permanent=error.smtp_code >= 500)
    if isinstance(error, smtplib.SMTPResponseException):
        return Failed(f"mail server not ready ({error.smtp_code})")
    return Failed(f"mail server unreachable ({type(error).__name__})")
