"""Cross-site request forgery: a signed token bound to this browser, and the origin that a browser reports.

The token is a MAC over the session (before there is one, the browser's secret cookie), a nonce and the time: nothing is
stored, each answer shows another one, and all of them hold until somebody signs in or out (ASVS 3.5.1). If
``LATCHKEY_CSRF_COOKIE_NAME`` is set, a cookie that scripts can read carries one, too; no check looks at that cookie.
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
from app.web.cookies import browser_secret, sent_browser_secret, sent_program_token
from app.web.json_body import sends_json

HEADERS = ("X-CSRFToken", "X-CSRF-Token", "X-XSRF-Token")
FIELD = "csrf_token"
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
SESSION_COOKIE = "latchkey_session"
_STAMP = struct.Struct(">8sI")


def csrf_token() -> str:
    """Return a fresh token for this session, or for this browser before there is one."""
    g.csrf_token_made = True
    stamp = _STAMP.pack(os.urandom(8), int(clock.unix()))
    return base64.urlsafe_b64encode(stamp + _mac(keyring.kid, _session() or browser_secret(), stamp)).decode()


def csrf_fault(given: str | None) -> str | None:
    """Return the code of what is wrong with an unsafe request carrying the token ``given``, or None.

    None is needed with what a foreign page cannot send without asking first (the Fetch standard, section 3.2.2): a
    program's token in its header, which then says who asks whatever cookies there are; and JSON, unless somebody is
    signed in by a cookie (ADR 5).
    """
    if _foreign_origin():
        return "csrf_origin_foreign"
    if sent_program_token() is not None:
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
    """Return the code of what is wrong with a token for the session or browser ``anchor``, or None."""
    try:
        raw = base64.urlsafe_b64decode(given.encode("ascii"))
    except ValueError:
        return "csrf_token_invalid"
    stamp, mac = raw[: _STAMP.size], raw[_STAMP.size :]
    if len(stamp) != _STAMP.size or not any(hmac.compare_digest(mac, _mac(k, anchor, stamp)) for k in keyring.kids):
        return "csrf_token_invalid"
    age = clock.unix() - _STAMP.unpack(stamp)[1]
    return "csrf_token_expired" if age > settings.csrf_lifetime.total_seconds() else None


def will_last(given: str) -> bool:
    """Say whether a token is good for this session or browser, as of this answer, and for half its life or more."""
    if token_fault(given, _session() or browser_secret()):
        return False
    made_at: int = _STAMP.unpack(base64.urlsafe_b64decode(given)[: _STAMP.size])[1]
    return clock.unix() - made_at < settings.csrf_lifetime.total_seconds() / 2


def _session() -> str:
    """Return what all tokens of the session of this request have in common, "" without a session.

    Its own token changes with each proof; this stays until it ends.
    """
    current_user.is_authenticated  # noqa: B018 - has it looked up, once a request
    session = g.get("auth_session")
    return session.session_id if session is not None else ""


def _mac(kid: str, anchor: str, stamp: bytes) -> bytes:
    message = anchor.encode("utf-8", "surrogatepass") + stamp
    return hmac.digest(keyring.derive("csrf", kid), message, hashlib.sha256)


def _foreign_origin() -> bool:
    """Say whether the browser itself reports that another site sent this (ASVS 3.5.3)."""
    site = request.headers.get("Sec-Fetch-Site")
    if site:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if not origin or origin == "null":  # pages that tell nobody where they are send null: it says nothing
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
    """Hand out the token with an answer that has one, or signs in, unless the browser's will do (``after_request``).

    It goes with signing out; the next page brings another.
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
    """Say whether this is a browser without a token that will do; a program needs none."""
    return sent_program_token() is None and not will_last(request.cookies.get(name, ""))
