"""One attempt to post an event: one request to the operator's server, which is limited in time and not trusted."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from app import clock
from app.outbox.channels import guarded_http
from app.outbox.channels.attempt import Failed, Interrupted, cut_off_after
from app.webhooks.addresses import address_check

CONNECT_TIMEOUT = 5.0
RESPONSE_TIMEOUT = 10.0
"""Total timeout in seconds: name resolution, connecting, sending, and the response headers. The body isn't read."""

MAX_RETRY_AFTER = 86400.0
"""Maximum number of seconds in ``Retry-After``."""

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
TIMED_OUT = "timed out"
HTTP_GONE = 410
RETRY_LATER = (429, 503)


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of an attempt.

    :ivar status: HTTP status; None if there was no response
    :ivar reason: why it failed, without any text from the server; "" if it didn't
    :ivar wait: seconds that the server asks us to wait
    """

    status: int | None
    reason: str = ""
    wait: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether the server accepted the event."""
        return not self.reason

    @property
    def is_down(self) -> bool:
        """Whether other events would fail there now too."""
        return self.status is None or self.status >= 500 or self.status == 429


def post(url: str, body: bytes, headers: dict[str, str]) -> Answer:
    """Post an event and return the result. Redirects are not followed: they would take it elsewhere.

    :raises Interrupted: if the worker stops before there is a response; the server may have the event anyway
    """
    parts = urlsplit(url)
    try:
        with cut_off_after(RESPONSE_TIMEOUT) as deadline:
            allows = address_check(parts.scheme)
            connection = guarded_http.connect(url, deadline, within=CONNECT_TIMEOUT, allows=allows)
            try:
                deadline.hand_over()
                return _post(
                    connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers
                )
            finally:
                connection.close()
    except Failed as failure:
        if failure.reason != TIMED_OUT:  # the worker is stopping, which says nothing about the endpoint
            raise Interrupted from None
        return Answer(None, TIMED_OUT)
    except (OSError, HTTPException) as error:
        return Answer(None, _failure_reason(error))


def _post(connection: HTTPConnection, target: str, body: bytes, headers: dict[str, str]) -> Answer:
    if connection.sock is not None:
        connection.sock.settimeout(RESPONSE_TIMEOUT)
    usual = {"Content-Type": "application/json", "User-Agent": guarded_http.AGENT, "Connection": "close"}
    connection.request("POST", target, body, usual | headers)
    answer = connection.getresponse()
    if 200 <= answer.status < 300:
        return Answer(answer.status)
    verb = "redirects" if 300 <= answer.status < 400 else "answered"
    wait = _retry_after(answer.getheader("Retry-After", "")) if answer.status in RETRY_LATER else 0.0
    return Answer(answer.status, f"{verb} {answer.status}", wait)


def _retry_after(text: str) -> float:
    """Return how long to wait (RFC 9110, section 10.2.3), from seconds or a date; 0 for anything else."""
    if _SECONDS.fullmatch(text.strip()):
        return min(float(text), MAX_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max((until - clock.now()).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _failure_reason(error: OSError | HTTPException) -> str:
    """Return why there was no response, the most specific reason first."""
    if isinstance(error, guarded_http.ForbiddenAddress):
        return "address not allowed"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate not trusted"
    if isinstance(error, ssl.SSLError):
        return "speaks no TLS that we know"
    if isinstance(error, socket.gaierror):
        return "name not found"
    if isinstance(error, HTTPException):
        return "answer is no HTTP"
    return f"unreachable ({type(error).__name__})"


REMEDIES = {
    "address not allowed": "Name its network in LATCHKEY_WEBHOOK_NETWORKS if it is yours; http:// is for those alone.",
    "certificate not trusted": "Use the name that its certificate is for, or name your CA's in SSL_CERT_FILE.",
    "name not found": "Check the host in its URL, and name resolution on the worker's machine.",
    "redirects": "Change its URL to the one that this leads to: flask webhooks change ID --url URL",
    "answered 401": "Look whether something in front of it wants a password: the signature is all that we send.",
    "answered 404": "Check the path in its URL.",
    "timed out": "It must answer within 10 seconds: let it take the event first, and work on it later.",
    "unreachable": "Check host and port in its URL, that it runs, and that no firewall is in between.",
}
"""What an operator can do, by the beginning of a reason."""


def remedy_for(reason: str) -> str:
    """Return what an operator can do about a reason; "" if that can only be seen at the endpoint."""
    return next((remedy for begins, remedy in REMEDIES.items() if reason.startswith(begins)), "")
