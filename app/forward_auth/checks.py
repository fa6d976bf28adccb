"""Access decisions: whether a request may pass to its app, independent of how that is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from app import clock
from app.crypto import secrets
from app.db import unavailable
from app.extensions import db, settings
from app.forward_auth import app_sessions
from app.forward_auth.app_file import is_below
from app.forward_auth.app_sessions import Visitor
from app.forward_auth.dialects import AccessRequest
from app.forward_auth.rules import Need, ProtectedApp
from app.sessions import assurance
from app.web.access import SCOPE_OF_APPS

SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

Verdict = Literal["pass", "sign_in", "step_up", "closed", "not_allowed", "cross_site", "token_refused"]


class Headers(Protocol):
    """Headers of a request."""

    def get(self, name: str, default: str, /) -> str:
        """Return the value of a header."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials that a visitor sent.

    :ivar cookie: cookie of the app; "" for none
    :ivar token: API token; "" for none, or for a bearer token that isn't ours
    """

    cookie: str
    token: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Decision about a request.

    :ivar visitor: who made it, if known
    """

    verdict: Verdict
    need: Need
    visitor: Visitor | None = None


def check(asked: AccessRequest, app: ProtectedApp, sent: Credentials, headers: Headers) -> Outcome:
    """Decide about a request. One statement, or none for a closed path and for a request without credentials.

    :param headers: of the visitor's request: ``Origin``, ``Sec-Fetch-*``, ``Upgrade``, ``Sec-WebSocket-Version``
    """
    need = app.need_of(asked.method, asked.path, asked.address)
    if need.level == "deny":
        return Outcome("closed", need)
    if need.level == "public":
        known = bool(sent.token) or need.cross_site or not _is_foreign(asked, app, headers)
        return Outcome("pass", need, _who_if_known(asked, app, sent) if known else None)
    visitor = _who(asked, app, sent)
    if visitor is None:
        return Outcome("token_refused" if sent.token else "sign_in", need)
    verdict = _verdict(asked, app, need, visitor)
    if verdict == "pass" and visitor.session is not None and not need.cross_site and _is_foreign(asked, app, headers):
        return Outcome("cross_site", need, visitor)
    return Outcome(verdict, need, visitor)


def _verdict(asked: AccessRequest, app: ProtectedApp, need: Need, visitor: Visitor) -> Verdict:
    if not need.admits(visitor.groups):
        return "not_allowed"
    if visitor.session is None:
        is_enough = _may_use_apps(visitor) and need.level == "signed_in" and need.max_age is None
        return "pass" if is_enough else "token_refused"
    now = clock.now()
    if need.level == "aal2" and assurance.level(visitor.session, now) < 2:
        return "step_up"
    if need.max_age is not None and visitor.session.authenticated_at + need.max_age < now:
        return "step_up"
    return "pass"


def _who(asked: AccessRequest, app: ProtectedApp, sent: Credentials) -> Visitor | None:
    if sent.token:
        return app_sessions.find_by_api_token(sent.token, str(asked.address or ""))
    return app_sessions.find(sent.cookie, place_of(app)) if sent.cookie else None


def _who_if_known(asked: AccessRequest, app: ProtectedApp, sent: Credentials) -> Visitor | None:
    """Return who makes a request to a public path; None if unknown, or if the database is unavailable."""
    if sent.token and not secrets.has_prefix(sent.token, secrets.API_PREFIX):
        return None
    try:
        visitor = _who(asked, app, sent)
    except Exception as error:
        if not unavailable(error):
            raise
        db.session.rollback()
        return None
    return visitor if visitor is not None and _may_use_apps(visitor) else None


def _may_use_apps(visitor: Visitor) -> bool:
    """Return whether it is a user, or a program whose token has the scope for apps."""
    return visitor.token is None or SCOPE_OF_APPS in visitor.token.scopes.split(",")


def _is_foreign(asked: AccessRequest, app: ProtectedApp, headers: Headers) -> bool:
    """Return whether another site makes the browser send a state-changing request or open a WebSocket.

    Browsers say so themselves (Fetch Metadata), older ones in the Origin. A sibling host in the same domain is another
    site.
    """
    if asked.method in SAFE and not opens_socket(headers):
        return False
    site = headers.get("Sec-Fetch-Site", "")
    if site:
        return site not in ("same-origin", "none")
    origin = headers.get("Origin", "")
    return bool(origin) and origin != app.origin


def opens_socket(headers: Headers) -> bool:
    """Return whether a visitor opens a WebSocket (RFC 6455, section 4.1).

    ``Upgrade`` is a hop-by-hop header, and not every proxy repeats it when it asks us. The others are end-to-end.
    """
    by_browser = headers.get("Sec-Fetch-Mode", "") == "websocket"
    return by_browser or any(headers.get(name, "") for name in ("Sec-WebSocket-Version", "Upgrade"))


def place_of(app: ProtectedApp) -> str:
    """Return where an app's cookie is valid: at its host, or in a whole domain if the operator wants that."""
    domain = settings.forward_auth_cookie_domain
    return f".{domain}" if domain and is_below(app, domain) else app.host
