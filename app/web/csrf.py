"""Cross-site request forgery: a signed token bound to this browser, and the origin a browser reports.

The token is a MAC over the session's (or browser's) secret cookie, a nonce and the time: nothing is
stored, each answer shows another one, and all of them hold until the secret changes (ASVS 3.5.1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import struct
from urllib.parse import urlsplit

from app.extensions import g, keyring, request, settings
from app.kit import clock
from app.web.browser import TOKEN_HEADER, browser_secret, sent_browser_secret, sent_cookie
from app.web.json_body import sends_json

HEADERS = ("X-CSRFToken", "X-CSRF-Token", "X-XSRF-Token")
FIELD = "csrf_token"
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
SESSION_COOKIE = "latchkey_session"
_STAMP = struct.Struct(">8sI")


def csrf_token() -> str:
    """Return a fresh token for this session, or for this browser before there is one."""
    stamp = _STAMP.pack(os.urandom(8), int(clock.unix()))
    anchor = g.get("csrf_anchor") or _sent_session() or browser_secret()
    return base64.urlsafe_b64encode(stamp + _mac(keyring.kid, anchor, stamp)).decode()


def csrf_fault(given: str | None) -> str | None:
    """Return the code of what is wrong with an unsafe request carrying the token ``given``, or None.

    A program that sends no cookie of ours needs no token: it brings an ``Authentication-Token``, or JSON,
    which a foreign page cannot send without asking first (the Fetch standard, section 3.3).
    """
    if _foreign_origin():
        return "csrf_origin_foreign"
    for header in HEADERS:
        given = given or request.headers.get(header)
    anchor = _sent_session() or sent_browser_secret()
    if not anchor:
        if TOKEN_HEADER in request.headers or sends_json():
            return None
        return "csrf_session_token_missing" if given else "csrf_token_missing"
    return _token_fault(given, anchor)


def _token_fault(given: str | None, anchor: str) -> str | None:
    if not given:
        return "csrf_token_missing"
    try:
        raw = base64.urlsafe_b64decode(given.encode("ascii"))
    except ValueError:
        return "csrf_token_invalid"
    stamp, mac = raw[: _STAMP.size], raw[_STAMP.size :]
    if len(stamp) != _STAMP.size or not any(hmac.compare_digest(mac, _mac(k, anchor, stamp)) for k in keyring.kids):
        return "csrf_token_invalid"
    age = clock.unix() - _STAMP.unpack(stamp)[1]
    return "csrf_token_expired" if age > settings.csrf_lifetime.total_seconds() else None


def _sent_session() -> str:
    return sent_cookie(settings.cookie_prefix + SESSION_COOKIE)


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
