"""Cookies: parsing them (RFC 6265, 5.4), and the browser's secrets, which bind challenges to a browser.

Werkzeug parses a quoted value as one string, semicolons included, and decodes the whole header as UTF-8. Browsers do
neither, so another application's cookie on the same host, ``a="b`` or one with stray bytes, would make ours unreadable.

The first secret in the browser cookie is random and lasts until someone signs in or out in that browser. Each requested
code adds another secret, and its challenge is bound to that. A passcode or link therefore works only in the browser
that requested it (ASVS 6.6.2), and an earlier copy of the cookie is useless. A secret never becomes the session.
See ADR 29.
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
"""Cookie that marks a browser in which someone has signed in. It grants no access."""

PENDING = "latchkey_pending"
"""Cookie of a sign-in that is waiting for its second factor. It grants access to that step only."""

TOKEN_HEADER = "Authentication-Token"  # noqa: S105 - the header's name

_BEARER = re.compile(r"[\w-]{40,64}\Z", re.ASCII)
"""Format of our tokens. A proxy in front may add its own bearer token, such as a JWT, to each request."""

_SECRETS = re.compile(r"[\w-]{40,64}(\.[\w-]{40,64})*\Z", re.ASCII)
_MAX_LENGTH = 64 * (MAX_BINDINGS + 2)
"""Maximum length of our cookies in characters. Anything longer isn't ours."""


def browser_secret() -> str:
    """Return this browser's secret; a browser without one gets a new one with the response."""
    secret = known_browser_secret()
    if not secret:
        secret = g.new_browser_secret = secrets.token()
    return secret


def known_browser_secret() -> str:
    """Return the secret this browser sent, or is being given in this response; "" if there is none.

    An API client that authenticates by token is identified by the token, and needs and gets no cookie.
    """
    return str(g.get("new_browser_secret") or sent_browser_secret() or g.get("auth_token", ""))


def sent_browser_secret() -> str:
    """Return the long-lived secret sent in the browser cookie; "" if there is none."""
    return _sent(NAME).partition(".")[0]


def sent_challenge_secrets() -> list[str]:
    """Return the per-challenge secrets sent in the browser cookie, newest first."""
    return _sent(NAME).split(".")[1:]


def rotate_browser_secret(*, drop_challenges: bool) -> None:
    """Replace the browser's long-lived secret. A client that sent no browser cookie gets none.

    :param drop_challenges: also drop the per-challenge secrets, so that codes requested here no longer work here
    """
    if sent_browser_secret():
        g.new_browser_secret, g.drop_challenge_secrets = secrets.token(), drop_challenges


def sent_known_secrets() -> list[str]:
    """Return the secrets that identify this browser to the accounts that used it, newest first."""
    sent = _sent(KNOWN)
    return sent.split(".")[:MAX_KNOWN_ACCOUNTS] if sent else []


def sent_pending_secret() -> str:
    """Return the token of the pending sign-in sent with this request; "" if there is none."""
    return _sent(PENDING)


def sent_auth_token() -> str | None:
    """Return the API client's token, from ``Authentication-Token`` or as a bearer token (RFC 6750).

    None if the request has neither. A bearer token in another format than ours is ignored.
    """
    token = request.headers.get(TOKEN_HEADER)
    if token is not None or "Authorization" not in request.headers:
        return token
    # Not ``request.authorization``: it also decodes Basic credentials, and raises if they aren't ASCII.
    scheme, _, brought = request.headers["Authorization"].partition(" ")
    return brought.strip() if scheme.lower() == "bearer" and _BEARER.match(brought.strip()) else None


def _sent(name: str) -> str:
    sent = sent_cookie(settings.cookie_prefix + name)
    return sent if len(sent) <= _MAX_LENGTH and _SECRETS.match(sent) else ""


def sent_cookie(name: str) -> str:
    """Return the value of the cookie with this full name, or ""."""
    return request.cookies.get(name, "")


def set_browser_cookie(response: Response) -> Response:
    """Set the browser cookie if this request created a secret (an ``after_request`` function)."""
    lasting, given = g.get("new_browser_secret"), g.get("challenge_secret")
    if (lasting or given) and response.status_code < 500 and not g.get("commit_failed"):
        earlier = [] if g.get("drop_challenge_secrets") else sent_challenge_secrets()
        newest_first = [given, *(each for each in earlier if each != given)] if given else earlier
        set_cookie(response, NAME, ".".join([lasting or sent_browser_secret(), *newest_first[:MAX_BINDINGS]]))
    return response


def set_cookie(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    """Set one of our cookies: host-only, inaccessible to scripts, not sent cross-site (ASVS 3.3.1-3.3.4).

    :param max_age: seconds; None for a session cookie, 0 to delete it
    """
    prefix = settings.cookie_prefix
    response.set_cookie(
        prefix + name, value, max_age=max_age, path="/", httponly=True, samesite="Lax", secure=bool(prefix)
    )


class CookieRequest(Request):
    """A request that parses each cookie on its own, so that a malformed one doesn't affect the others."""

    @cached_property
    def cookies(self) -> dict[str, str]:  # type: ignore[override]
        """The cookies by name. Of several with the same name, the first one, which has the longest path.

        Not a multi-dict: Werkzeug's creates an HTTP error for each missing name, and most are missing.
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
    """Flask's signed cookie, read and written only if it holds anything (ADR 42: saves 9 % of a session check)."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the contents of the cookie; without a cookie, an empty session, skipping Flask's own lookup."""
        if app.config["SESSION_COOKIE_NAME"] not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set or remove the cookie if it has changed. All our responses vary by cookie anyway."""
        if session.modified:
            super().save_session(app, session, response)
