"""A client for mail servers: smtplib's, which knows when a server has a whole mail, signs in with any password,
and distinguishes errors.
"""

from __future__ import annotations

import re
import smtplib
from base64 import b64encode
from typing import Any

from app.outbox.channels.attempt import MESSAGE, MOMENT, PROVIDER, Deadline, Failed, unreached

AFTER_SILENCE = 120.0
"""Seconds before a mail is sent again to a server that has it whole and did not say whether it took it."""

GOING_AWAY = 421
"""The server closes this connection (RFC 5321, section 4.2.1)."""

TOO_LARGE = 552
"""It is over the size that the server takes (RFC 1870, section 6.1)."""

SIGN_IN_FIRST = 530
"""The server takes no mail from strangers (RFC 4954, section 6)."""

ENHANCED = re.compile(rb"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")
"""A status code that says more than the first three digits (RFC 3463, section 2)."""

ITS_LOG = "Look at the mail server's log."
MAY_NOT_RELAY = (
    "If it refuses many, let the mail server relay for this machine, or add user and password to LATCHKEY_MAIL_URL."
)

HAS_SIGNED_IN = (235, 503)
"""It worked, or had worked before (RFC 4954, section 6)."""


class SmtpConnection(smtplib.SMTP):
    """One connection to a mail server. Its deadline holds from the first byte on, so that it can be cut off.

    :ivar answer_wait: seconds to wait for the answer to a whole mail
    :ivar answer: what the server said to the last one
    """

    answer = ""

    def __init__(self, deadline: Deadline, answer_wait: float, *server: Any, **options: Any) -> None:
        self.deadline = deadline
        self.answer_wait = answer_wait
        super().__init__(*server, **options)

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        """Connect and read the greeting, as smtplib does."""
        self.deadline.through(self)
        return super().connect(host, port, source_address)

    def go_on(self, deadline: Deadline, seconds: float) -> None:
        """Use the connection for another mail, whose conversation may take that long. Raises Failed when it is over."""
        self.deadline, self.timeout = deadline, seconds
        deadline.through(self)
        if self.sock is not None:
            self.sock.settimeout(seconds)

    def login(self, user: str, password: str, *, initial_response_ok: bool = True) -> tuple[int, bytes]:
        """Sign in. User and password may have any characters; they are sent as UTF-8 (RFC 4616).

        :raises Failed: when the server offers nothing that we know
        :raises smtplib.SMTPAuthenticationError: when it refuses them
        """
        self.ehlo_or_helo_if_needed()
        offered = self.esmtp_features.get("auth", "").split()
        if not offered:
            remedy = "Use its submission port (587 or 465), or take user and password out of LATCHKEY_MAIL_URL."
            raise Failed("mail server offers no sign-in", remedy=remedy, fault=PROVIDER)
        if user.isascii() and password.isascii() and {"PLAIN", "LOGIN", "CRAM-MD5"}.intersection(offered):
            return super().login(user, password, initial_response_ok=initial_response_ok)
        if "PLAIN" in offered:
            code, said = self.docmd("AUTH", f"PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}")
        elif "LOGIN" in offered:
            code, said = self.docmd("AUTH", f"LOGIN {_base64(user)}")
            if code == 334:
                code, said = self.docmd(_base64(password))
        else:
            remedy = "Let the server offer PLAIN or LOGIN, over TLS."
            raise Failed("mail server offers no sign-in mechanism that we know", remedy=remedy, fault=PROVIDER)
        if code not in HAS_SIGNED_IN:
            raise smtplib.SMTPAuthenticationError(code, said)
        return code, said

    def data(self, msg: Any) -> tuple[int, bytes]:
        """Hand over a mail whose lines end with CRLF, and wait long for what becomes of it.

        "When the receiver gets the final period terminating the message data, it typically performs processing": ten
        minutes are to be waited for that (RFC 5321, section 4.5.3.2.6), or the mail arrives twice.
        """
        code, said = self.docmd("DATA")
        if code != 354:
            raise smtplib.SMTPDataError(code, said)
        self.send(re.sub(rb"(?m)^\.", b"..", msg) + b".\r\n")
        self.deadline.hand_over(seconds=self.answer_wait, silence=AFTER_SILENCE)
        if self.sock is not None:
            self.sock.settimeout(self.answer_wait)
        code, said = self.getreply()
        self.answer = _in_words(code, said)
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
        if not (200 <= code < 300 or _is_no(code)):
            raise smtplib.SMTPResponseException(code, said)
        return (250 if 200 <= code < 300 else code), said  # the first digit says it (RFC 5321, section 4.3.2)


class TlsSmtpConnection(SmtpConnection, smtplib.SMTP_SSL):
    """The same, with TLS from the first byte on (RFC 8314)."""


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def answer_in(error: BaseException | None) -> str:
    """Return what the server said in an error of smtplib, for a person who may see it; "" when it said nothing."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return next((_in_words(code, said) for code, said in error.recipients.values()), "")
    return _in_words(error.smtp_code, error.smtp_error) if isinstance(error, smtplib.SMTPResponseException) else ""


def _in_words(code: int, said: object) -> str:
    """Return an answer as one printable line of at most 300 characters."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return "".join(each if each.isprintable() else " " for each in f"{code} {text}")[:300]


def failure_of(error: Exception, *, taken: bool) -> Failed:
    """Say what went wrong without what the server said, which may quote the mail.

    :param error: of smtplib, ssl or the system
    :param taken: whether the server has the whole mail
    """
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
        status = _status(code, said)
        remedy = MAY_NOT_RELAY if " 5.7." in status else ""
        return Failed(
            f"recipient refused ({status})", permanent=_is_final(code), remedy=remedy, fault=_fault_of(status)
        )
    if isinstance(error, smtplib.SMTPResponseException):
        if taken and not isinstance(error, smtplib.SMTPDataError):
            what = "mail server's answer not understood"
            return Failed(what, taken=True, wait=AFTER_SILENCE, remedy=ITS_LOG, fault=PROVIDER)
        return _answer(error, error.smtp_code)
    if isinstance(error, smtplib.SMTPServerDisconnected) and taken:
        what = "mail server hung up before it answered"
        return Failed(what, taken=True, wait=AFTER_SILENCE, fault=PROVIDER)
    return _trouble(error)


def _answer(error: smtplib.SMTPResponseException, code: int) -> Failed:
    """What an answer means that is no yes. What the operator has to mend is no reason to give a mail up."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        remedy = "Check user and password in LATCHKEY_MAIL_URL; special characters are percent-encoded."
        return Failed(f"mail server refused user or password ({code})", remedy=remedy, fault=PROVIDER)
    if code == SIGN_IN_FIRST:
        remedy = "Add user and password to LATCHKEY_MAIL_URL, and use TLS."
        return Failed(f"mail server wants a sign-in first ({code})", remedy=remedy, fault=PROVIDER)
    status = _status(code, error.smtp_error)
    if code == TOO_LARGE and isinstance(error, smtplib.SMTPSenderRefused):
        remedy = "Let the mail server take mails of 100 kB."
        return Failed(f"email larger than the server takes ({status})", permanent=True, remedy=remedy)
    if isinstance(error, smtplib.SMTPSenderRefused) and code != GOING_AWAY:
        remedy = "Check LATCHKEY_MAIL_SENDER, and whether this machine may send by that server."
        return Failed(f"sender refused ({status})", remedy=remedy if _is_final(code) else ITS_LOG, fault=PROVIDER)
    if isinstance(error, (smtplib.SMTPDataError, smtplib.SMTPSenderRefused)):
        return Failed(f"message refused ({code})", permanent=_is_final(code), fault=_fault_of(status))
    return Failed(f"mail server not ready ({code})", remedy=ITS_LOG, fault=PROVIDER)


ABOUT_SENDER = ("5.1.7", "5.1.8")
ABOUT_MESSAGE = (".1.", ".2.", ".6.")
"""Address, mailbox, content: subjects of a status code (RFC 3463, section 3) that are the same for each mail server.
The others are about mail system, network, protocol and policy, as of a server that does not relay for us or has
blocked our account."""


def _fault_of(status: str) -> str:
    """Say what a refusal is about: a recipient that does not exist does not exist for another mail server either.

    One for now is of the moment, and without a status code that says more a final one is about the message.

    :param status: as ``_status`` returns it
    """
    code, _, detail = status.partition(" ")
    if not _is_final(int(code)):
        return MOMENT
    if detail in ABOUT_SENDER:
        return PROVIDER
    if not detail or any(subject in detail[:4] for subject in ABOUT_MESSAGE):
        return MESSAGE
    return MOMENT


def _is_no(code: int) -> bool:
    """Say whether an answer refuses, for now or for good (RFC 5321, section 4.2.1)."""
    return 400 <= code < 600


def _is_final(code: int) -> bool:
    return 500 <= code < 600


def _status(code: int, said: object) -> str:
    """Return the numbers of an answer, as ``550 5.7.1``: its words may quote the mail, its numbers say why."""
    found = ENHANCED.match(said) if isinstance(said, bytes) else None
    return f"{code} {found[0].decode()}" if found else str(code)


def _trouble(error: Exception) -> Failed:
    """What it means that there is no answer at all."""
    if isinstance(error, smtplib.SMTPNotSupportedError):
        remedy = "Use smtps:// with port 465, or have the server offer STARTTLS."
        return Failed("mail server offers no STARTTLS", remedy=remedy, fault=PROVIDER)
    if isinstance(error, smtplib.SMTPServerDisconnected):
        remedy = "Check scheme and port in LATCHKEY_MAIL_URL."
        return Failed("mail server hung up", remedy=remedy, fault=PROVIDER)
    return unreached("mail server", "LATCHKEY_MAIL_URL", error)
