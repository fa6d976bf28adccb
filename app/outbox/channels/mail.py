"""Email through Flask-Mail: one recipient, verified TLS, and the same Message-ID for all copies of a message."""

from __future__ import annotations

import base64
import quopri
import smtplib
import ssl
import threading
from contextlib import suppress
from email.header import Header
from email.message import Message as MimeMessage
from email.policy import Compat32
from email.utils import format_datetime, formataddr
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

import flask_mail

from app import clock
from app.extensions import mail, settings
from app.outbox.channels import failover, smtp
from app.outbox.channels.attempt import Deadline, Failed, Interrupted, cut_off_after
from app.outbox.channels.failover import FALLBACK, PRIMARY, Provider
from app.outbox.return_paths import return_path_of
from config.senders import split_sender

if TYPE_CHECKING:
    from app.outbox.models import Message
    from app.outbox.renderers import EmailMessage
    from config.settings import Settings

PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
FORBIDDEN_IN_ADDRESS = frozenset(' ,;:<>"()[]\\')

MAX_TIMEOUT = 300.0
"""Maximum seconds until a server has the mail, the same as RFC 5321, section 4.5.3.2, allows for one command."""

TIMEOUT_GROWTH = 5
"""Factor by which the timeout grows with each attempt, so that slow servers get more time, but not at first."""


class _Policy(Compat32):
    """The policy ``compat32`` with a fast path for headers that fit on one line."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        """Return a header as sent."""
        if isinstance(value, str) and value.isascii() and value.isprintable() and len(name) + len(value) < 74:
            return f"{name}: {value}{self.linesep}".encode()
        folded: bytes = super().fold_binary(name, value)
        return folded


POLICY = _Policy(linesep="\r\n", cte_type="7bit", max_line_length=76)
"""Produces mail that any server accepts. The newer policies drop the quotes around a long name, so that a comma in it
ends the name (seen with Python 3.11), and take twice as long."""

FAILURES = 3
"""Consecutive failures after which a mail server is skipped for a minute, if there is a second one."""

SETTINGS = {PRIMARY: "LATCHKEY_MAIL_URL", FALLBACK: "LATCHKEY_MAIL_FALLBACK_URL"}
"""Setting that holds the URL of each mail server."""

providers = failover.pair("mail", FAILURES)
_this_thread = threading.local()


def urls_of(settings: Settings) -> dict[str, str]:
    """Return the URLs of the configured mail servers by name, in the order they are tried."""
    urls = {PRIMARY: settings.mail_url, FALLBACK: settings.mail_fallback_url}
    return {name: url for name, url in urls.items() if url}


def mail_config(settings: Settings, url: str | None = None) -> dict[str, Any]:
    """Return Flask-Mail's configuration for the mail server at ``url``, by default the primary one.

    Debug output is always off, even if Flask's is on: it would print the SMTP dialog including passcodes.
    """
    parts = urlsplit(settings.mail_url if url is None else url)
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


def send(message: Message, email: EmailMessage, *, only: str = "") -> tuple[str, str]:
    """Send one mail through the first mail server that accepts it, or raise; return the server's name and response.

    Never log the response, since it may quote the mail. The first attempt takes at most ``LATCHKEY_MAIL_TIMEOUT``
    until the server has the mail (plus name resolution), later ones up to ``MAX_TIMEOUT``. After that, the server has
    ``LATCHKEY_MAIL_ANSWER_TIMEOUT`` to respond.

    :param only: name of the only mail server to use, regardless of its circuit breaker
    :raises Postponed: while both servers are skipped after failures
    :raises Failed: permanently when the server rejected the message (5xx) or it can't be addressed to that recipient;
        ``taken`` when the server has the whole mail but didn't respond, so that a retry soon might send a duplicate
    :raises Interrupted: when the worker stops before the server has the mail
    """
    urls = urls_of(settings)
    if not urls:
        raise Failed("no mail server is set", remedy="Set LATCHKEY_MAIL_URL.")
    written = _Mail(message, email)
    if only:
        return only, _send_by(only, urls[only], written, message)

    def hand_over(provider: Provider) -> str:
        return _send_by(provider.name, urls[provider.name], written, message)

    return failover.send_by([providers[name] for name in urls], hand_over, uses_breaker=len(urls) > 1)


def _send_by(name: str, url: str, written: _Mail, message: Message) -> str:
    """Send a mail through one mail server and return its response, or raise as ``send``."""
    seconds = min(
        MAX_TIMEOUT, settings.mail_timeout.total_seconds() * TIMEOUT_GROWTH ** max(0, (message.attempts or 1) - 1)
    )
    if message.expires_at is not None:
        seconds = min(seconds, (message.expires_at - clock.now()).total_seconds())
    deadline: Deadline | None = None
    try:
        with cut_off_after(seconds) as deadline:
            return _send(written, url, deadline, seconds)
    except Interrupted:
        _close_connection()
        raise
    except Failed as failure:
        _close_connection()
        raise _with_setting(failure, name) from failure.__cause__
    except Exception as error:  # smtplib, ssl and the OS each raise their own types
        _close_connection()
        raise _with_setting(
            smtp.failure_of(error, maybe_accepted=deadline is not None and deadline.maybe_accepted), name
        ) from error


def _with_setting(failure: Failed, name: str) -> Failed:
    """Make the remedy name the setting of the mail server that failed."""
    failure.remedy = failure.remedy.replace(SETTINGS[PRIMARY], SETTINGS[name])
    return failure


def quit_connection() -> None:
    """Close this thread's connection with QUIT, if any. It is kept open between mails because that is much cheaper."""
    connection = getattr(_this_thread, "connection", None)
    if connection is not None:
        with suppress(Failed, Interrupted, OSError, smtplib.SMTPException), cut_off_after(1) as deadline:
            deadline.attach(connection.host)
            connection.host.quit()
        _close_connection()


def check(settings: Settings, name: str = PRIMARY) -> None:
    """Connect to a mail server and sign in as the next mail would. Raises Failed."""
    seconds = settings.mail_timeout.total_seconds()
    try:
        with cut_off_after(seconds) as deadline:
            _Connection(settings, urls_of(settings)[name], deadline, seconds).host.close()
    except Failed as failure:
        raise _with_setting(failure, name) from failure.__cause__
    except Exception as error:  # smtplib, ssl and the OS each raise their own types
        raise _with_setting(smtp.failure_of(error, maybe_accepted=False), name) from error


class _Connection(flask_mail.Connection):
    """Flask-Mail's connection with a deadline and certificate verification."""

    host: smtp.SmtpConnection

    def __init__(self, settings: Settings, url: str, deadline: Deadline, seconds: float) -> None:
        super().__init__(cast("flask_mail.Mail", mail.init_mail(mail_config(settings, url))))
        self.url = url
        self.ehlo_name = _ehlo_name(_host_name(settings.public_url))
        self.seconds = seconds
        self.response_timeout = settings.mail_answer_timeout.total_seconds()
        self.deadline = deadline
        self.host = self.configure_host()

    def send(self, message: flask_mail.Message, envelope_from: Any = None) -> None:
        """Send a mail whose sender and recipient are already checked: Flask-Mail would parse and format both again."""
        self.host.sendmail(str(message.sender), [str(each) for each in message.recipients], message.as_bytes())

    def configure_host(self) -> smtp.SmtpConnection:
        """Return a client that is connected, uses TLS if configured, and is signed in."""
        server = (self.deadline, self.response_timeout, self.mail.server, self.mail.port)
        client: smtp.SmtpConnection
        if self.mail.use_ssl:
            tls = ssl.create_default_context()
            client = smtp.TlsSmtpConnection(*server, local_hostname=self.ehlo_name, timeout=self.seconds, context=tls)
        else:
            client = smtp.SmtpConnection(*server, local_hostname=self.ehlo_name, timeout=self.seconds)
        try:
            if self.mail.use_tls:
                client.starttls(context=ssl.create_default_context())
            if self.mail.username and self.mail.password:
                client.login(self.mail.username, self.mail.password)
            client.ehlo_or_helo_if_needed()
            self.deadline.attach(client)  # raises if the deadline has passed
        except BaseException:
            client.close()
            raise
        return client


class _Mail(flask_mail.Message):
    """A mail whose copies are byte-for-byte identical: Message-ID, date and boundary come from the row."""

    def __init__(self, message: Message, email: EmailMessage) -> None:
        """Don't call Flask-Mail's constructor: it looks up this machine's host name, which may block on DNS."""
        _check_recipient(message.to)
        if "\0" in email.subject or len(email.subject.splitlines()) != 1:
            raise Failed("subject has a line break", permanent=True)
        self.from_header, self.sender = _sender(settings.mail_sender)
        self.sender = return_path_of(message.id) or self.sender
        self.recipients = [message.to]
        self.subject, self.body = email.subject, email.text
        self.alts = {} if email.html is None else {"html": email.html}
        self.created_at = message.created_at
        self.date = message.created_at.timestamp()
        self.msgId = f"<{message.id}@{_host_name(settings.public_url)}>"
        self.extra_headers = {"Auto-Submitted": "auto-generated"}
        self.cc, self.bcc, self.attachments, self.mail_options, self.rcpt_options = [], [], [], [], []
        self.reply_to = self.charset = None
        self.boundary = f"=_{message.id[:16]}"  # "=_" is in no encoded text, and the header fits on a line

    def as_bytes(self) -> bytes:
        """Return the mail as sent (RFC 5322)."""
        headers = {
            "Subject": str(self.subject),
            "From": self.from_header,
            "To": str(self.recipients[0]),
            "Date": format_datetime(self.created_at),
            "Message-ID": self.msgId,
        } | (self.extra_headers or {})
        text, html = _part("plain", self.body or ""), self.html
        written = MimeMessage(policy=POLICY) if html is not None else text
        for name, value in headers.items():
            written[name] = value if value.isascii() else Header(value, "utf-8", header_name=name)
        written["MIME-Version"] = "1.0"
        if html is not None:
            written["Content-Type"] = f'multipart/alternative; boundary="{self.boundary}"'
            written.set_payload([text, _part("html", html)])
        return written.as_bytes()


def _part(subtype: str, text: str) -> MimeMessage[Any, Any]:
    """Return a MIME part with this text, in the more compact of two encodings.

    ``EmailMessage.set_content`` takes three times as long for the same result, because it encodes character by
    character in Python.
    """
    data = b"\n".join(text.encode().splitlines()) + b"\n"
    encoding, encoded = "quoted-printable", quopri.encodestring(data)
    if len(encoded) > len(data) * 3 // 2:  # mostly non-ASCII
        encoding, encoded = "base64", base64.encodebytes(data)
    part = MimeMessage(policy=POLICY)
    part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
    part["Content-Transfer-Encoding"] = encoding
    part.set_payload(encoded.decode())
    return part


@lru_cache(maxsize=8)
def _sender(sender: str) -> tuple[str, str]:
    """Return the sender as an ASCII header value with its name quoted if needed, and its bare address."""
    name, address = split_sender(sender)
    encoded = name if name.isascii() else " ".join(Header(name, "utf-8", header_name="From").encode().split())
    return formataddr((encoded, address)), address


def _check_recipient(address: str) -> None:
    """Raise Failed unless this is exactly one address: a comma would add a second one, a line break a header."""
    is_valid = address.isascii() and address.isprintable() and address.count("@") == 1
    if not is_valid or FORBIDDEN_IN_ADDRESS.intersection(address):
        raise Failed("recipient isn't one address", permanent=True)


@lru_cache(maxsize=8)
def _host_name(url: str) -> str:
    return urlsplit(url).hostname or "localhost"


def _ehlo_name(name: str) -> str:
    """Return the host name for EHLO. Asking the operating system for one may block on DNS."""
    return f"[{name}]" if name.replace(".", "").isdigit() else name


def _send(written: _Mail, url: str, deadline: Deadline, seconds: float) -> str:
    """Send over this thread's connection, or a new one if there is none or it was closed; return the response."""
    connection: _Connection | None = getattr(_this_thread, "connection", None)
    if connection is not None and connection.url == url:
        connection.host.reuse(deadline, seconds)
        try:
            connection.send(written)
        except smtplib.SMTPException as error:
            if deadline.maybe_accepted or not _is_closed(error):
                raise  # otherwise it got nothing, so sending again is no duplicate
        else:
            return connection.host.last_response
    _close_connection()
    connection = _this_thread.connection = _Connection(settings, url, deadline, seconds)
    connection.send(written)
    return connection.host.last_response


def _is_closed(error: smtplib.SMTPException) -> bool:
    """Return whether the server closed the connection, as it may at any time, rather than rejected a mail."""
    codes = [getattr(error, "smtp_code", 0)] + [code for code, _ in getattr(error, "recipients", {}).values()]
    return isinstance(error, smtplib.SMTPServerDisconnected) or smtp.CLOSING in codes


def _close_connection() -> None:
    """Close and forget this thread's connection without QUIT."""
    connection = getattr(_this_thread, "connection", None)
    _this_thread.connection = None
    if connection is not None:
        connection.host.close()
