"""Cookies: how they are read (RFC 6265, 5.4), and the browser's own secrets, which bind challenges to a browser.

Werkzeug takes a quoted value for one string, semicolons included, and decodes the whole header as UTF-8. Browsers do
neither: a cookie of another application on the same host, ``a="b`` or one with stray bytes, would take ours with it.

The browser cookie's first secret is random and stays until somebody signs in or out there. Each code that is requested
adds another one, to which its challenge is bound, so that a passcode or link works only where it was requested
(ASVS 6.6.2), and an earlier copy of the cookie is worth nothing. It never becomes the session. ADR 29.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from flask import Flask, Request, Response, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.utils import cached_property

from app.client import MAX_BINDINGS, MAX_KNOWN_ACCOUNTS
from app.crypto import secrets
from app.extensions import settings

NAME = "latchkey_browser"
KNOWN = "latchkey_known"
"""The cookie of a browser in which someone has signed in. It opens nothing."""

PENDING = "latchkey_pending"
"""The cookie of a sign-in that waits for its second step. It opens that step and nothing else."""

TOKEN_HEADER = "Authentication-Token"  # noqa: S105 - the header's name

_BEARER = re.compile(r"[\w-]{40,64}\Z", re.ASCII)
"""What a token of ours looks like. A proxy in front may add a bearer token of its own, as a JWT, to each request."""

_SECRETS = re.compile(r"[\w-]{40,64}(\.[\w-]{40,64})*\Z", re.ASCII)
_LONGEST = 64 * (MAX_BINDINGS + 2)
"""Characters of a cookie of ours; a longer one isn't ours."""


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
    sent = _sent(KNOWN)
    return sent.split(".")[:MAX_KNOWN_ACCOUNTS] if sent else []


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
    # Not ``request.authorization``: it decodes Basic, too, and raises where that is not ASCII.
    scheme, _, brought = request.headers["Authorization"].partition(" ")
    return brought.strip() if scheme.lower() == "bearer" and _BEARER.match(brought.strip()) else None


def _sent(name: str) -> str:
    sent = sent_cookie(settings.cookie_prefix + name)
    return sent if len(sent) <= _LONGEST and _SECRETS.match(sent) else ""


def sent_cookie(name: str) -> str:
    """Return what this request brought as a cookie of this full name, or ""."""
    return request.cookies.get(name, "")


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


class CookieRequest(Request):
    """A request whose cookies are read one by one, whatever stands in the others."""

    @cached_property
    def cookies(self) -> dict[str, str]:  # type: ignore[override]
        """The cookies by name; of several with one name the first, which has the longest path.

        No multi-dict: Werkzeug's makes an HTTP error for each name that is not there, and most are not.
        """
        found: dict[str, str] = {}
        for name, value in read_cookies(self.environ.get("HTTP_COOKIE", "")):
            found.setdefault(name, value)
        return found


def read_cookies(header: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a Cookie header."""
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        if equals:
            yield name.strip(" \t"), value.strip(" \t")


class FlashSessionInterface(SecureCookieSessionInterface):
    """Flask's signed cookie, read and written only where something is in it (ADR 42: 9 % of a session check)."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return what the cookie holds; an empty one without looking further where there is none."""
        if app.config["SESSION_COOKIE_NAME"] not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set or remove the cookie if something has changed. Every answer of ours varies by cookie anyway."""
        if session.modified:
            super().save_session(app, session, response)
