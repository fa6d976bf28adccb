"""The browser cookie: secrets that bind challenges to a browser, set before anyone signs in.

The first is random and stays until somebody signs in or out there. Each code that is asked for brings another one
(``methods.bindings``), to which its challenge is bound, so that a passcode or link works only where it was asked for
(ASVS 6.6.2), and a copy of the cookie from before is worth nothing. It never becomes the session. ADR 29.
"""

from __future__ import annotations

import re

from flask import Response

from app.client import MAX_BINDINGS, MAX_KNOWN_ACCOUNTS
from app.crypto import secrets
from app.extensions import g, request, settings

NAME = "latchkey_browser"
KNOWN = "latchkey_known"
"""The cookie of a browser from which somebody has signed in. It opens nothing."""

PENDING = "latchkey_pending"
"""The cookie of a sign-in that waits for its second step. It opens that step and nothing else."""

TOKEN_HEADER = "Authentication-Token"  # noqa: S105 - the header's name

_BEARER = re.compile(r"[\w-]{40,64}\Z", re.ASCII)
"""What a token of ours looks like. A proxy in front may add a bearer token of its own, as a JWT, to each request."""


_SECRETS = re.compile(r"[\w-]{40,64}(\.[\w-]{40,64})*\Z", re.ASCII)
_LONGEST = 64 * (MAX_BINDINGS + 2)
"""Characters of a cookie of ours; a longer one is somebody else's."""


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
    """Return the lasting secret that this request brought; empty when it brought none of ours."""
    return _sent(NAME).partition(".")[0]


def sent_given_secrets() -> list[str]:
    """Return the secrets that this request brought of what was asked for here, the newest first."""
    return _sent(NAME).split(".")[1:]


def renew_browser_secret(*, forget: bool) -> None:
    """Let a browser keep another lasting secret; a program that keeps no cookies is given none.

    :param forget: what was asked for here is answered here no more
    """
    if sent_browser_secret():
        g.new_browser_secret, g.forgets_given = secrets.token(), forget


def sent_known_secrets() -> list[str]:
    """Return the secrets by which accounts know the browser, the newest first; none when it brought none of ours."""
    return _sent(KNOWN).split(".")[:MAX_KNOWN_ACCOUNTS] if _sent(KNOWN) else []


def sent_pending_secret() -> str:
    """Return the token of a sign-in under way that this request brought; empty when it brought none of ours."""
    return _sent(PENDING)


def sent_program_token() -> str | None:
    """Return the token by which a program is known, from ``Authentication-Token`` or as a bearer token (RFC 6750).

    None for a request that brings neither; a bearer token that cannot be ours is none.
    """
    token = request.headers.get(TOKEN_HEADER)
    if token is not None or "Authorization" not in request.headers:
        return token
    brought = request.authorization
    is_ours = brought is not None and brought.type == "bearer" and _BEARER.match(brought.token or "")
    return brought.token if brought is not None and is_ours else None


def _sent(name: str) -> str:
    sent = sent_cookie(settings.cookie_prefix + name)
    return sent if len(sent) <= _LONGEST and _SECRETS.match(sent) else ""


def sent_cookie(name: str) -> str:
    """Return what this request brought as a cookie of this full name, or "". Werkzeug's ``get`` makes an HTTP error
    for one that is not there, and most are not."""
    cookies = request.cookies
    return cookies[name] if name in cookies else ""  # noqa: SIM401 - see above


def set_browser_cookie(response: Response) -> Response:
    """Hand out the browser's secrets if this request made one (an ``after_request`` function)."""
    lasting, given = g.get("new_browser_secret"), g.get("given_secret")
    if (lasting or given) and response.status_code < 500 and not g.get("commit_failed"):
        kept = [] if g.get("forgets_given") else sent_given_secrets()
        newest_first = [given, *(each for each in kept if each != given)] if given else kept
        set_cookie(response, NAME, ".".join([lasting or sent_browser_secret(), *newest_first[:MAX_BINDINGS]]))
    return response


def set_cookie(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    """Set a cookie of ours: host-only, out of reach for scripts, not sent across sites (ASVS 3.3.1-3.3.4).

    :param max_age: seconds; None for as long as the browser stays open, 0 to remove it
    """
    prefix = settings.cookie_prefix
    response.set_cookie(
        prefix + name, value, max_age=max_age, path="/", httponly=True, samesite="Lax", secure=bool(prefix)
    )
