"""Access decisions: whether a request may pass to its app, independent of how that is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from app import clock
from app.crypto import secrets
from app.db import unavailable
from app.extensions import db, settings
from app.forward_auth import app_sessions
from app.forward_auth.app_file import is_in_domain
from app.forward_auth.app_sessions import Visitor
from app.forward_auth.dialects import AccessRequest
from app.forward_auth.rules import ProtectedApp, Requirements
from app.sessions import assurance
from app.web.access import SCOPE_OF_APPS

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

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
    requirements: Requirements
    visitor: Visitor | None = None


def check(access: AccessRequest, app: ProtectedApp, credentials: Credentials, headers: Headers) -> Outcome:
    """Decide about a request. One statement, or none for a closed path and for a request without credentials.

    :param headers: of the visitor's request: ``Origin``, ``Sec-Fetch-*``, ``Upgrade``, ``Sec-WebSocket-Version``
    """
    requirements = app.requirements_for(access.method, access.path, access.address)
    if requirements.level == "deny":
        return Outcome("closed", requirements)
    if requirements.level == "public":
        may_identify = bool(credentials.token) or requirements.cross_site or not _is_cross_site(access, app, headers)
        return Outcome("pass", requirements, _optional_visitor(access, app, credentials) if may_identify else None)
    visitor = _find_visitor(access, app, credentials)
    if visitor is None:
        return Outcome("token_refused" if credentials.token else "sign_in", requirements)
    verdict = _verdict(access, app, requirements, visitor)
    is_checked = visitor.session is not None and not requirements.cross_site
    if verdict == "pass" and is_checked and _is_cross_site(access, app, headers):
        return Outcome("cross_site", requirements, visitor)
    return Outcome(verdict, requirements, visitor)


def _verdict(access: AccessRequest, app: ProtectedApp, requirements: Requirements, visitor: Visitor) -> Verdict:
    if not requirements.admits(visitor.groups):
        return "not_allowed"
    if visitor.session is None:
        is_enough = _may_use_apps(visitor) and requirements.level == "signed_in" and requirements.max_age is None
        return "pass" if is_enough else "token_refused"
    now = clock.now()
    if requirements.level == "aal2" and assurance.level(visitor.session, now) < 2:
        return "step_up"
    if requirements.max_age is not None and visitor.session.authenticated_at + requirements.max_age < now:
        return "step_up"
    return "pass"


def _find_visitor(access: AccessRequest, app: ProtectedApp, credentials: Credentials) -> Visitor | None:
    if credentials.token:
        return app_sessions.find_by_api_token(credentials.token, str(access.address or ""))
    return app_sessions.find(credentials.cookie, cookie_scope(app)) if credentials.cookie else None


def _optional_visitor(access: AccessRequest, app: ProtectedApp, credentials: Credentials) -> Visitor | None:
    """Return who makes a request to a public path; None if unknown, or if the database is unavailable."""
    if credentials.token and not secrets.has_prefix(credentials.token, secrets.API_PREFIX):
        return None
    try:
        visitor = _find_visitor(access, app, credentials)
    except Exception as error:
        if not unavailable(error):
            raise
        db.session.rollback()
        return None
    return visitor if visitor is not None and _may_use_apps(visitor) else None


def _may_use_apps(visitor: Visitor) -> bool:
    """Return whether it is a user, or a program whose token has the scope for apps."""
    return visitor.token is None or SCOPE_OF_APPS in visitor.token.scopes.split(",")


def _is_cross_site(access: AccessRequest, app: ProtectedApp, headers: Headers) -> bool:
    """Return whether another site makes the browser send a state-changing request or open a WebSocket.

    Browsers say so themselves (Fetch Metadata), older ones in the Origin. A sibling host in the same domain is another
    site.
    """
    if access.method in SAFE_METHODS and not is_websocket(headers):
        return False
    site = headers.get("Sec-Fetch-Site", "")
    if site:
        return site not in ("same-origin", "none")
    origin = headers.get("Origin", "")
    return bool(origin) and origin != app.origin


def is_websocket(headers: Headers) -> bool:
    """Return whether a visitor opens a WebSocket (RFC 6455, section 4.1).

    ``Upgrade`` is a hop-by-hop header, and not every proxy repeats it when it asks us. The others are end-to-end.
    """
    by_browser = headers.get("Sec-Fetch-Mode", "") == "websocket"
    return by_browser or any(headers.get(name, "") for name in ("Sec-WebSocket-Version", "Upgrade"))


def cookie_scope(app: ProtectedApp) -> str:
    """Return where an app's cookie is valid: at its host, or in a whole domain if the operator wants that."""
    domain = settings.forward_auth_cookie_domain
    return f".{domain}" if domain and is_in_domain(app, domain) else app.host
