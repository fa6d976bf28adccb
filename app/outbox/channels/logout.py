"""Logout tokens over HTTP: notify an app that a session has ended (OpenID Connect Back-Channel Logout 1.0)."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from app.outbox.channels import guarded_http
from app.outbox.channels.attempt import Deadline, Failed, connection_failure, cut_off_after

if TYPE_CHECKING:
    from app.outbox.models import Message
    from app.outbox.renderers import LogoutMessage

CONNECT_TIMEOUT = 5.0
TOTAL_TIMEOUT = 10.0
"""Seconds for the whole attempt. A slow app only occupies its own thread and doesn't delay other messages."""


def send(message: Message, logout: LogoutMessage) -> None:
    """Post one logout token, or raise. Redirects are not followed, as they would send the token elsewhere.

    :raises Failed: permanently when the app refused the token (400)
    """
    setting = f"the backchannel_logout_uri of client {message.to}"
    try:
        with cut_off_after(TOTAL_TIMEOUT) as deadline:
            connection = _connect(logout, deadline, setting)
            try:
                deadline.hand_over()
                status = _post(connection, logout)
            finally:
                connection.close()
    except (OSError, HTTPException) as error:
        raise Failed(f"app broke off ({type(error).__name__})", maybe_accepted=True) from error
    _check_status(status, setting)


def _post(connection: HTTPConnection, logout: LogoutMessage) -> int:
    """Return the response status. The body is not read."""
    parts = urlsplit(logout.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Latchkey"}
    connection.request("POST", target, urlencode({"logout_token": logout.token}).encode(), headers)
    return connection.getresponse().status


def _check_status(status: int, setting: str) -> None:
    """Raise Failed unless the status means success (section 2.8)."""
    if 200 <= status < 300:
        return
    if status == 400:
        remedy = "Look at the app's log: it may expect another issuer, client id or id_token_alg."
        raise Failed("app refused the logout token (400)", permanent=True, remedy=remedy)
    if 300 <= status < 400:
        raise Failed(f"app redirects ({status})", remedy=f"Name the address that it leads to in {setting}.")
    remedy = f"Check {setting}." if status < 500 else ""
    raise Failed(f"app failed ({status})", maybe_accepted=status >= 500, remedy=remedy)


def _connect(logout: LogoutMessage, deadline: Deadline, setting: str) -> HTTPConnection:
    """Return a connection to the app.

    :raises Failed: when it can't be reached, or its address is not allowed
    """
    allows = guarded_http.is_public if logout.public_only else None
    try:
        connection = guarded_http.connect(logout.url, deadline, within=CONNECT_TIMEOUT, allows=allows)
    except guarded_http.ForbiddenAddress:
        remedy = "If this is an app of yours, add it by a file or a command."
        raise Failed("app's address is in a private network", permanent=True, remedy=remedy) from None
    except OSError as error:
        raise connection_failure("app", setting, error) from error
    if connection.sock is not None:
        connection.sock.settimeout(TOTAL_TIMEOUT)
    return connection
