"""Whether a request may pass to its app: the decision, without a word about how it is answered."""

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
        """Return the value of one."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a visitor has sent to prove who they are.

    :ivar cookie: of the app; "" for none
    :ivar token: API token; "" for none, or for a bearer token that is not ours
    """

    cookie: str
    token: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a request.

    :ivar visitor: who asks, if that is known
    """

    verdict: Verdict
    need: Need
    visitor: Visitor | None = None


def check(asked: AccessRequest, app: ProtectedApp, sent: Credentials, headers: Headers) -> Outcome:
    """Decide about a request. One statement; none for a closed part, nor for who asks without proof.

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
    """Return who asks for what is open to everybody: nobody where the database can't be asked."""
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
    """Whether it is a person, or a program that was given the scope for this."""
    return visitor.token is None or SCOPE_OF_APPS in visitor.token.scopes.split(",")


def _is_foreign(asked: AccessRequest, app: ProtectedApp, headers: Headers) -> bool:
    """Whether another site has a browser send what changes something, or open a socket.

    A browser says so itself (Fetch Metadata), an older one by the Origin; a sibling of the same domain is another site.
    """
    if asked.method in SAFE and not opens_socket(headers):
        return False
    site = headers.get("Sec-Fetch-Site", "")
    if site:
        return site not in ("same-origin", "none")
    origin = headers.get("Origin", "")
    return bool(origin) and origin != app.origin


def opens_socket(headers: Headers) -> bool:
    """Whether a visitor opens a WebSocket (RFC 6455, section 4.1).

    ``Upgrade`` is for the next hop alone, and not every proxy says it in its question; the others go to the end.
    """
    by_browser = headers.get("Sec-Fetch-Mode", "") == "websocket"
    return by_browser or any(headers.get(name, "") for name in ("Sec-WebSocket-Version", "Upgrade"))


def place_of(app: ProtectedApp) -> str:
    """Return where a cookie is valid for an app: at its host, or where the operator wants it, in a whole domain."""
    domain = settings.forward_auth_cookie_domain
    return f".{domain}" if domain and is_below(app, domain) else app.host
