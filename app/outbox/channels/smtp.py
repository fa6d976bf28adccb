"""SMTP client based on smtplib.

Tracks when a server has the whole mail, supports non-ASCII passwords, and classifies errors.
"""

from __future__ import annotations

import re
import smtplib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from app.outbox.channels.attempt import MESSAGE, PROVIDER, TEMPORARY, Deadline, Failed, connection_failure

NO_RESPONSE_WAIT = 120.0
"""Minimum seconds before a retry if the server got the whole mail but didn't say whether it accepted it."""

CLOSING = 421
"""The server is closing the connection (RFC 5321, section 4.2.1)."""

MESSAGE_TOO_LARGE = 552
"""The mail exceeds the server's size limit (RFC 1870, section 6.1)."""

AUTH_REQUIRED = 530
"""The server requires authentication (RFC 4954, section 6)."""

ENHANCED_STATUS = re.compile(rb"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")
"""Enhanced status code (RFC 3463, section 2)."""

LOG_REMEDY = "Look at the mail server's log."
RELAY_REMEDY = (
    "If it refuses many, let the mail server relay for this machine, or add user and password to LATCHKEY_MAIL_URL."
)

AUTH_SUCCEEDED = (235, 503)
"""Authentication succeeded, or had already (RFC 4954, section 6)."""


class SmtpConnection(smtplib.SMTP):
    """One connection to a mail server. The deadline applies from the first byte on.

    :ivar response_timeout: seconds to wait for the response to a whole mail
    :ivar last_response: the server's response to the last mail
    """

    last_response = ""

    def __init__(self, deadline: Deadline, response_timeout: float, *server: Any, **options: Any) -> None:
        self.deadline = deadline
        self.response_timeout = response_timeout
        super().__init__(*server, **options)

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        """Connect and read the greeting, as smtplib does."""
        self.deadline.attach(self)
        return super().connect(host, port, source_address)

    def reuse(self, deadline: Deadline, seconds: float) -> None:
        """Reuse the connection for another mail with a new deadline. Raises Failed if that has already passed."""
        self.deadline, self.timeout = deadline, seconds
        deadline.attach(self)
        if self.sock is not None:
            self.sock.settimeout(seconds)

    def login(self, user: str, password: str, *, initial_response_ok: bool = True) -> tuple[int, bytes]:
        """Sign in. User and password may contain any characters and are sent as UTF-8 (RFC 4616).

        :raises Failed: when the server offers no supported mechanism
        :raises smtplib.SMTPAuthenticationError: when the server rejects the credentials
        """
        self.ehlo_or_helo_if_needed()
        offered = self.esmtp_features.get("auth", "").split()
        if not offered:
            remedy = "Use its submission port (587 or 465), or take user and password out of LATCHKEY_MAIL_URL."
            raise Failed("mail server offers no sign-in", remedy=remedy, fault=PROVIDER)
        if user.isascii() and password.isascii() and {"PLAIN", "LOGIN", "CRAM-MD5"}.intersection(offered):
            return super().login(user, password, initial_response_ok=initial_response_ok)
        if "PLAIN" in offered:
            code, reply = self.docmd("AUTH", f"PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}")
        elif "LOGIN" in offered:
            code, reply = self.docmd("AUTH", f"LOGIN {_base64(user)}")
            if code == 334:
                code, reply = self.docmd(_base64(password))
        else:
            remedy = "Let the server offer PLAIN or LOGIN, over TLS."
            raise Failed("mail server offers no sign-in mechanism that we know", remedy=remedy, fault=PROVIDER)
        if code not in AUTH_SUCCEEDED:
            raise smtplib.SMTPAuthenticationError(code, reply)
        return code, reply

    def mail(self, sender: str, options: Sequence[str] = ()) -> tuple[int, bytes]:
        """Name the sender, a bare address. smtplib would parse it again, which takes longer than the command."""
        return self.docmd("mail", " ".join((f"FROM:<{sender}>", *options)))

    def rcpt(self, recip: str, options: Sequence[str] = ()) -> tuple[int, bytes]:
        """Name the recipient, a bare address."""
        return self.docmd("rcpt", " ".join((f"TO:<{recip}>", *options)))

    def data(self, msg: Any) -> tuple[int, bytes]:
        """Send a mail, which begins with a header, in CRLF lines, and wait up to ``response_timeout`` for the response.

        "When the receiver gets the final period terminating the message data, it typically performs processing", so a
        client should wait ten minutes (RFC 5321, section 4.5.3.2.6). With less, the mail may arrive twice.
        """
        code, reply = self.docmd("DATA")
        if code != 354:
            raise smtplib.SMTPDataError(code, reply)
        self.send(msg.replace(b"\n.", b"\n..") + b".\r\n")
        self.deadline.hand_over(seconds=self.response_timeout, retry_wait=NO_RESPONSE_WAIT)
        if self.sock is not None:
            self.sock.settimeout(self.response_timeout)
        code, reply = self.getreply()
        self.last_response = _response_text(code, reply)
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
        if not (200 <= code < 300 or _is_rejection(code)):
            raise smtplib.SMTPResponseException(code, reply)
        return (250 if 200 <= code < 300 else code), reply  # only the first digit matters (RFC 5321, section 4.3.2)


class TlsSmtpConnection(SmtpConnection, smtplib.SMTP_SSL):
    """The same with implicit TLS (RFC 8314)."""


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def response_in(error: BaseException | None) -> str:
    """Return the server's response from an smtplib error, for a person allowed to see it; "" if there was none."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return next((_response_text(code, reply) for code, reply in error.recipients.values()), "")
    return _response_text(error.smtp_code, error.smtp_error) if isinstance(error, smtplib.SMTPResponseException) else ""


def _response_text(code: int, reply: object) -> str:
    """Return a response as one printable line of at most 300 characters."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
    return "".join(each if each.isprintable() else " " for each in f"{code} {text}")[:300]


def failure_of(error: Exception, *, maybe_accepted: bool) -> Failed:
    """Return the failure for an error, without the server's text, which may quote the mail.

    :param error: from smtplib, ssl or the operating system
    :param maybe_accepted: whether the server has the whole mail
    """
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reply = next(iter(error.recipients.values()))
        status = _status(code, reply)
        remedy = RELAY_REMEDY if " 5.7." in status else ""
        return Failed(
            f"recipient refused ({status})", permanent=_is_permanent(code), remedy=remedy, fault=_fault_of(status)
        )
    if isinstance(error, smtplib.SMTPResponseException):
        if maybe_accepted and not isinstance(error, smtplib.SMTPDataError):
            reason = "mail server's answer not understood"
            return Failed(reason, maybe_accepted=True, wait=NO_RESPONSE_WAIT, remedy=LOG_REMEDY, fault=PROVIDER)
        return _response_failure(error, error.smtp_code)
    if isinstance(error, smtplib.SMTPServerDisconnected) and maybe_accepted:
        reason = "mail server hung up before it answered"
        return Failed(reason, maybe_accepted=True, wait=NO_RESPONSE_WAIT, fault=PROVIDER)
    return _failure_without_response(error)


def _response_failure(error: smtplib.SMTPResponseException, code: int) -> Failed:
    """Return the failure for an error response. Problems that the operator has to fix are not permanent."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        remedy = "Check user and password in LATCHKEY_MAIL_URL; special characters are percent-encoded."
        return Failed(f"mail server refused user or password ({code})", remedy=remedy, fault=PROVIDER)
    if code == AUTH_REQUIRED:
        remedy = "Add user and password to LATCHKEY_MAIL_URL, and use TLS."
        return Failed(f"mail server wants a sign-in first ({code})", remedy=remedy, fault=PROVIDER)
    status = _status(code, error.smtp_error)
    if code == MESSAGE_TOO_LARGE and isinstance(error, smtplib.SMTPSenderRefused):
        remedy = "Let the mail server take mails of 100 kB."
        return Failed(f"email larger than the server takes ({status})", permanent=True, remedy=remedy)
    if isinstance(error, smtplib.SMTPSenderRefused) and code != CLOSING:
        remedy = "Check LATCHKEY_MAIL_SENDER, and whether this machine may send by that server."
        return Failed(
            f"sender refused ({status})", remedy=remedy if _is_permanent(code) else LOG_REMEDY, fault=PROVIDER
        )
    if isinstance(error, (smtplib.SMTPDataError, smtplib.SMTPSenderRefused)):
        return Failed(f"message refused ({code})", permanent=_is_permanent(code), fault=_fault_of(status))
    return Failed(f"mail server not ready ({code})", remedy=LOG_REMEDY, fault=PROVIDER)


ABOUT_SENDER = ("5.1.7", "5.1.8")
ABOUT_MESSAGE = (".1.", ".2.", ".6.")
"""Subjects of a status code (RFC 3463, section 3) that are the same for any mail server: address, mailbox, content.
The others are mail system, network, protocol and policy, such as a server that doesn't relay for us or has blocked our
account."""


def _fault_of(status: str) -> str:
    """Return what a rejection is about. A recipient that doesn't exist, for example, is the same for any mail server.

    A temporary rejection is about the moment. A permanent one without an enhanced status code is about the message.

    :param status: from ``_status``
    """
    code, _, detail = status.partition(" ")
    if not _is_permanent(int(code)):
        return TEMPORARY
    if detail in ABOUT_SENDER:
        return PROVIDER
    if not detail or any(subject in detail[:4] for subject in ABOUT_MESSAGE):
        return MESSAGE
    return TEMPORARY


def _is_rejection(code: int) -> bool:
    """Return whether a reply is a temporary or permanent rejection (RFC 5321, section 4.2.1)."""
    return 400 <= code < 600


def _is_permanent(code: int) -> bool:
    return 500 <= code < 600


def _status(code: int, reply: object) -> str:
    """Return the codes of a response, such as ``550 5.7.1``. They give the reason, and the text may quote the mail."""
    found = ENHANCED_STATUS.match(reply) if isinstance(reply, bytes) else None
    return f"{code} {found[0].decode()}" if found else str(code)


def _failure_without_response(error: Exception) -> Failed:
    """Return the failure for an error without a response."""
    if isinstance(error, smtplib.SMTPNotSupportedError):
        remedy = "Use smtps:// with port 465, or have the server offer STARTTLS."
        return Failed("mail server offers no STARTTLS", remedy=remedy, fault=PROVIDER)
    if isinstance(error, smtplib.SMTPServerDisconnected):
        remedy = "Check scheme and port in LATCHKEY_MAIL_URL."
        return Failed("mail server hung up", remedy=remedy, fault=PROVIDER)
    return connection_failure("mail server", "LATCHKEY_MAIL_URL", error)
