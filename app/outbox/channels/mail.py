"""Mail through Flask-Mail: one recipient, TLS that is checked, one Message-ID for all copies of a message."""

from __future__ import annotations

import smtplib
import ssl
import threading
from contextlib import suppress
from email.charset import QP, Charset
from email.mime.base import MIMEBase
from email.mime.text import MIMEText
from email.policy import compat32
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

import flask_mail

from app.extensions import mail, settings
from app.outbox.channels.cutoff import Conversation, cut_off_after
from app.outbox.channels.failures import Failed, Interrupted

if TYPE_CHECKING:
    from app.outbox.letters import Letter
    from app.outbox.models import Message
    from config.settings import Settings

PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
LONGEST_LINE = 998
"""Octets (RFC 5322, section 2.1.1)."""

AS_SENT = compat32.clone(linesep="\r\n")
"""How mails are written out. Python's newer policies parse every header again, which doubles the cost of a mail."""

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
            _open_connection(conversation, seconds).send(written)
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
        self.hello = _hello(_host_name(settings))
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
            self.conversation.through(client)  # not over meanwhile
        except BaseException:
            client.close()
            raise
        return client


class _Mail(flask_mail.Message):
    """A mail whose copies are alike to the last byte: its Message-ID, date and boundary come from the row."""

    def __init__(self, message: Message, letter: Letter) -> None:
        _check_recipient(message.to)
        if any(mark in letter.subject for mark in "\r\n\0"):
            raise Failed("subject has a line break", permanent=True)
        super().__init__(
            subject=letter.subject,
            recipients=[message.to],
            body=letter.text,
            html=letter.html,
            sender=settings.mail_sender,
            date=message.created_at.timestamp(),
            extra_headers={"Auto-Submitted": "auto-generated"},
        )
        self.row_id = message.id
        self.msgId = f"<{message.id}@{_host_name(settings)}>"

    def _mimetext(self, text: str | None, subtype: str = "plain") -> MIMEText:
        """Return one part, in quoted-printable where a line is longer than a mail may have."""
        if max(map(len, (text or "").encode().splitlines()), default=0) <= LONGEST_LINE:
            return super()._mimetext(text, subtype)
        charset = Charset("utf-8")
        charset.body_encoding = QP
        return MIMEText(text or "", subtype, charset)  # type: ignore[arg-type]  # the stubs know only its name

    def _message(self) -> MIMEBase:
        """Return the mail: alternatives alone, without the envelope that attachments would need."""
        whole = super()._message()
        whole.policy = AS_SENT
        if whole.is_multipart():
            whole.set_payload(whole.get_payload(0).get_payload())  # type: ignore[union-attr]
            whole.set_type("multipart/alternative")
            whole.set_boundary(f"=_{self.row_id}")
        return whole


def _check_recipient(address: str) -> None:
    """Let through what is exactly one address: a comma would make it two, a line break another header."""
    sound = address.isascii() and address.isprintable() and address.count("@") == 1
    if not sound or NOT_IN_AN_ADDRESS.intersection(address):
        raise Failed("recipient is not one address", permanent=True)


def _host_name(settings: Settings) -> str:
    return urlsplit(settings.public_url).hostname or "localhost"


def _hello(name: str) -> str:
    """Return the name to greet a mail server with; asking the system for one may wait for a name server."""
    return f"[{name}]" if name.replace(".", "").isdigit() else name


def _open_connection(conversation: Conversation, seconds: float) -> _Connection:
    """Return this thread's connection if the server still holds it, else a new one."""
    known: _Connection | None = getattr(_this_thread, "connection", None)
    if known is not None and known.url == settings.mail_url and _answers(known, conversation):
        return known
    _drop()
    connection = _this_thread.connection = _Connection(settings, conversation, seconds)
    return connection


def _answers(connection: _Connection, conversation: Conversation) -> bool:
    conversation.through(connection.host)
    try:
        return connection.host.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def _drop() -> None:
    """Forget this thread's connection without a word."""
    connection = getattr(_this_thread, "connection", None)
    _this_thread.connection = None
    if connection is not None:
        connection.host.close()


def _failure(error: Exception) -> Failed:
    """Say what went wrong by its number alone: what servers say may quote the mail."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code = next(iter(error.recipients.values()))[0]
        return Failed(f"recipient refused ({code})", permanent=code >= 500)
    if isinstance(error, (smtplib.SMTPSenderRefused, smtplib.SMTPDataError)):
        return Failed(f"message refused ({error.smtp_code})", permanent=error.smtp_code >= 500)
    if isinstance(error, smtplib.SMTPResponseException):
        return Failed(f"mail server not ready ({error.smtp_code})")
    return Failed(f"mail server unreachable ({type(error).__name__})")
