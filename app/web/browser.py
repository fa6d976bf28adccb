"""The browser that asks: a random cookie set before anyone is signed in.

A challenge is bound to it, so that a passcode or link works only where it was asked for
(ASVS 6.6.2). It never becomes the session.
"""

from __future__ import annotations

from flask import Response

from app.extensions import g, request, settings
from app.kit import secrets

NAME = "latchkey_browser"
KNOWN = "latchkey_known"
"""The cookie of a browser from which somebody has signed in. It opens nothing."""

PENDING = "latchkey_pending"
"""The cookie of a sign-in that waits for its second step. It opens that step and nothing else."""

TOKEN_HEADER = "Authentication-Token"  # noqa: S105 - the header's name


def browser_secret() -> str:
    """Return this browser's secret; a browser that has none is given one with the answer."""
    secret = known_browser_secret()
    if not secret:
        secret = g.new_browser_secret = secrets.token()
    return secret


def known_browser_secret() -> str:
    """Return the secret this browser sent, or was given by this very answer; empty when there is none.

    A program that is signed in by a token is known by that: it needs no cookie, and is given none.
    """
    return str(g.get("new_browser_secret") or sent_browser_secret() or g.get("program_token", ""))


def sent_browser_secret() -> str:
    """Return the secret that this request brought; empty when it brought none of ours."""
    return _sent(NAME)


def sent_known_secret() -> str:
    """Return the secret of a known browser that this request brought; empty when it brought none of ours."""
    return _sent(KNOWN)


def sent_pending_secret() -> str:
    """Return the token of a sign-in under way that this request brought; empty when it brought none of ours."""
    return _sent(PENDING)


def _sent(name: str) -> str:
    sent = sent_cookie(settings.cookie_prefix + name)
    return sent if 40 <= len(sent) <= 64 and sent.isascii() else ""


def sent_cookie(name: str) -> str:
    """Return what this request brought as a cookie of this full name, or "". Werkzeug's ``get`` makes an HTTP error
    for one that is not there, and most are not."""
    cookies = request.cookies
    return cookies[name] if name in cookies else ""  # noqa: SIM401 - see above


def set_browser_cookie(response: Response) -> Response:
    """Hand out the browser's secret if this request made one (an ``after_request`` function)."""
    secret = g.get("new_browser_secret")
    if secret and response.status_code < 500 and not g.get("commit_failed"):
        set_cookie(response, NAME, secret)
    return response


def set_cookie(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    """Set a cookie of ours: host-only, out of reach for scripts, not sent across sites (ASVS 3.3.1-3.3.4).

    :param max_age: seconds; None for as long as the browser stays open, 0 to remove it
    """
    prefix = settings.cookie_prefix
    response.set_cookie(
        prefix + name, value, max_age=max_age, path="/", httponly=True, samesite="Lax", secure=bool(prefix)
    )
