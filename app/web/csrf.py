"""CSRF protection: a signed token bound to this browser, and a check of the origin that the browser reports.

The token is a MAC over the session ID (before sign-in, the browser's secret), a nonce and the time. Nothing is stored,
each response has a new token, and all tokens stay valid until someone signs in or out (ASVS 3.5.1). If
``LATCHKEY_CSRF_COOKIE_NAME`` is set, a cookie that scripts can read carries a token, too; no check reads that cookie.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import struct
from urllib.parse import urlsplit

from flask import Response, g, request
from flask_login import current_user

from app import clock
from app.extensions import keyring, settings
from app.web.cookies import browser_secret, sent_auth_token, sent_browser_secret
from app.web.json_body import sends_json

HEADERS = ("X-CSRFToken", "X-CSRF-Token", "X-XSRF-Token")
FIELD = "csrf_token"
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
SESSION_COOKIE = "latchkey_session"
_STAMP = struct.Struct(">8sI")


def csrf_token() -> str:
    """Return a new token for this session, or for this browser if there is no session."""
    g.csrf_token_made = True
    stamp = _STAMP.pack(os.urandom(8), int(clock.unix()))
    return base64.urlsafe_b64encode(stamp + _mac(keyring.kid, _session() or browser_secret(), stamp)).decode()


def csrf_fault(given: str | None) -> str | None:
    """Return the error code for an unsafe request with the token ``given``, or None if the request is allowed.

    No token is needed with anything that a foreign page can't send without a CORS preflight (Fetch standard, section
    3.2.2): an API token in its header, which then identifies the client regardless of cookies; and JSON, unless a
    session cookie identifies the user (ADR 5).
    """
    if _foreign_origin():
        return "csrf_origin_foreign"
    if sent_auth_token() is not None:
        return None
    session = _session()
    if sends_json() and not session:
        return None
    for header in HEADERS:
        given = given or request.headers.get(header)
    if not given:
        return "csrf_token_missing"
    anchor = session or sent_browser_secret()
    return token_fault(given, anchor) if anchor else "csrf_session_token_missing"


def token_fault(given: str, anchor: str) -> str | None:
    """Return the error code for a token of the session or browser ``anchor``, or None if it is valid."""
    try:
        raw = base64.urlsafe_b64decode(given.encode("ascii"))
    except ValueError:
        return "csrf_token_invalid"
    stamp, mac = raw[: _STAMP.size], raw[_STAMP.size :]
    if len(stamp) != _STAMP.size or not any(hmac.compare_digest(mac, _mac(k, anchor, stamp)) for k in keyring.kids):
        return "csrf_token_invalid"
    age = clock.unix() - _STAMP.unpack(stamp)[1]
    return "csrf_token_expired" if age > settings.csrf_lifetime.total_seconds() else None


def is_fresh(given: str) -> bool:
    """Return whether a token is valid for this response's session or browser, for at least half its lifetime."""
    if token_fault(given, _session() or browser_secret()):
        return False
    made_at: int = _STAMP.unpack(base64.urlsafe_b64decode(given)[: _STAMP.size])[1]
    return clock.unix() - made_at < settings.csrf_lifetime.total_seconds() / 2


def _session() -> str:
    """Return the ID of this request's session; "" without a session.

    The session's own token changes with each reauthentication; the ID stays the same until the session ends.
    """
    current_user.is_authenticated  # noqa: B018 - triggers the lookup, once per request
    session = g.get("auth_session")
    return session.session_id if session is not None else ""


def _mac(kid: str, anchor: str, stamp: bytes) -> bytes:
    message = anchor.encode("utf-8", "surrogatepass") + stamp
    return hmac.digest(keyring.derive("csrf", kid), message, hashlib.sha256)


def _foreign_origin() -> bool:
    """Return whether the browser reports that another site sent this request (ASVS 3.5.3)."""
    site = request.headers.get("Sec-Fetch-Site")
    if site:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if not origin or origin == "null":  # sent by pages with Referrer-Policy: no-referrer, and says nothing
        origin = request.headers.get("Referer")
    if not origin:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return True
    return f"{parts.scheme}://{parts.netloc}" not in (
        settings.origin,
        f"{urlsplit(settings.origin).scheme}://{request.host}",
    )


def set_csrf_cookie(response: Response) -> Response:
    """Set the CSRF cookie on responses that contain a token or sign someone in (an ``after_request`` function).

    Skipped while the browser's token is recent enough. Signing out deletes the cookie; the next page sets a new one.
    """
    name, session = settings.csrf_cookie_name, g.get("session_cookie")
    if not name or response.status_code >= 500 or g.get("commit_failed"):
        return response
    secure = bool(settings.cookie_prefix)
    if session == ("", 0):
        response.delete_cookie(name, secure=secure, samesite="Strict")
    elif session or (g.get("csrf_token_made") and _is_missing(name)):
        response.set_cookie(name, csrf_token(), secure=secure, samesite="Strict")
    return response


def _is_missing(name: str) -> bool:
    """Return whether this is a browser whose token is missing or too old; API clients need none."""
    return sent_auth_token() is None and not is_fresh(request.cookies.get(name, ""))
