"""/gate/...: endpoints that proxies call before each request to an app. Each dialect has its own URL."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import structlog
from flask import Response, after_this_request, redirect, request
from werkzeug.routing import BaseConverter

from app.crypto import secrets
from app.extensions import settings
from app.forward_auth import bp, dialects
from app.forward_auth.app_file import app_of
from app.forward_auth.checks import SAFE_METHODS, Credentials, Outcome, check, cookie_scope
from app.forward_auth.cookies import sent_app_cookie
from app.forward_auth.dialects import AccessRequest, Unreadable
from app.forward_auth.presenters import fits_return_url, is_page_request, notice
from app.forward_auth.rules import ProtectedApp
from app.web.commit import view_commit
from app.web.cookies import sent_auth_token
from app.web.errors import register_error_format
from app.web.redirects import with_query

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger()

NGINX, FORWARD, ENVOY = PATHS = ("/gate/nginx", "/gate/forward", "/gate/envoy")
START = "/.latchkey/start"
IDENTITY_HEADERS = {"Remote-User": "user", "Remote-Email": "email", "Remote-Name": "name", "Remote-Groups": "groups"}
METHODS = (
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "PROPPATCH", "MKCOL", "COPY",
    "MOVE", "LOCK", "UNLOCK", "REPORT", "MKCALENDAR", "ACL", "SEARCH", "QUERY",
)  # fmt: skip
"""Envoy calls us with the visitor's own method, and WebDAV adds methods to HTTP."""


class AnythingConverter(BaseConverter):
    """Matches any rest of a path, even if it is empty or begins with slashes."""

    regex = ".*?"
    part_isolating = False


def init_app(app: Flask) -> None:
    """Register the converter, and give proxies short responses whatever goes wrong."""
    app.url_map.converters["anything"] = AnythingConverter
    register_error_format(app, PATHS, notice)


@bp.get(NGINX)
def gate_nginx() -> Response:
    """Answer nginx, whose ``auth_request`` needs a 401 for a redirect too."""
    return _answer("nginx")


@bp.get(f"{NGINX}/refused")
def gate_nginx_refused() -> Response:
    """Return the page for a visitor whom nginx has refused, since ``auth_request`` drops the response body."""
    return _answer("nginx", was_refused=True)


@bp.get(FORWARD)
def gate_forward() -> Response:
    """Answer a proxy that sends X-Forwarded-*, such as Caddy, Traefik and HAProxy."""
    return _answer("forward")


@bp.route(ENVOY, methods=METHODS, provide_automatic_options=False)
@bp.route(f"{ENVOY}/<anything:_rest>", methods=METHODS, provide_automatic_options=False, merge_slashes=False)
def gate_envoy(_rest: str = "") -> Response:
    """Answer Envoy, which sends the visitor's own request with a prefix."""
    after_this_request(view_commit)
    return _answer("envoy")


def _answer(dialect: str, *, was_refused: bool = False) -> Response:
    proxies = settings.forward_auth_proxies
    peer = request.environ.get("REMOTE_ADDR", "")
    if not dialects.is_trusted(peer, proxies):
        log.warning("forward_auth.proxy_unknown", peer=peer, remedy="list it in LATCHKEY_FORWARD_AUTH_PROXIES")
        return notice(403, "app_proxy_unknown")
    try:
        access = _read_request(dialect, proxies)
    except Unreadable as fault:
        log.warning("forward_auth.unreadable", header=fault.header, dialect=dialect)
        return notice(403, "app_request_unreadable")
    app = app_of(access.host)
    if app is None:
        return notice(403, "app_host_unknown")
    outcome = check(access, app, _credentials(app), request.headers)
    if outcome.verdict != "pass":
        return _denied(app, access, outcome, dialect)
    return _allowed_meanwhile(app, access) if was_refused else _allowed(app, outcome)


def _read_request(dialect: str, proxies: tuple[str, ...]) -> AccessRequest:
    if dialect == "nginx":
        return dialects.read_nginx(request.environ, proxies)
    if dialect == "forward":
        return dialects.read_forwarded(request.environ, proxies)
    return dialects.read_envoy(request.environ, ENVOY, proxies)


def _credentials(app: ProtectedApp) -> Credentials:
    token = sent_auth_token() or ""
    return Credentials(sent_app_cookie(cookie_scope(app)), token if token.startswith(secrets.API_PREFIX) else "")


def _allowed(app: ProtectedApp, outcome: Outcome) -> Response:
    """Return a 200 with all identity headers, even empty ones, so that a proxy replaces those a visitor sent."""
    visitor = outcome.visitor
    values = dict.fromkeys(("user", "email", "name", "groups"), "")
    if visitor is not None:
        values = {
            "user": visitor.identifier(app.user_is),
            "email": visitor.email,
            "name": visitor.display_name,
            "groups": ",".join(visitor.groups),
        }
    headers = {header: _header_value(values[name]) for header, name in (IDENTITY_HEADERS | app.headers).items()}
    return Response(status=200, headers=headers)


def _allowed_meanwhile(app: ProtectedApp, access: AccessRequest) -> Response:
    """Have a visitor retry who may pass since the previous check, because they signed in in another tab."""
    if access.method not in SAFE_METHODS:
        return notice(401, "app_nothing_sent", app=app.name)
    answer: Response = redirect(app.origin + _return_target(access), 303)  # type: ignore[assignment]
    return answer


def _header_value(text: str) -> str:
    """Return text as a header value that holds its UTF-8 bytes."""
    return text.encode("utf-8").decode("latin-1")


def _denied(app: ProtectedApp, access: AccessRequest, outcome: Outcome, dialect: str) -> Response:
    if outcome.verdict == "closed":
        return notice(403, "app_part_closed", app=app.name)
    if outcome.verdict == "cross_site":
        return notice(403, "app_cross_site", app=app.name)
    if outcome.verdict == "token_refused":
        answer = notice(401, "app_token_refused", app=app.name)
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    start = app.origin + with_query(START, to=_return_target(access), **_required_step(outcome))
    if outcome.verdict == "not_allowed":
        return notice(403, "app_not_allowed", link=start, app=app.name)
    if access.method not in ("GET", "HEAD") or not is_page_request():
        code = "app_sign_in_required" if access.method in SAFE_METHODS else "app_nothing_sent"
        return notice(401, code, link=start if access.method not in SAFE_METHODS else "", app=app.name)
    answer = Response(status=401 if dialect == "nginx" else 302)
    answer.headers["Location"] = start
    return answer


def _required_step(outcome: Outcome) -> dict[str, str]:
    """Return what a signed-in user has to do before they come back.

    The sign-in may see them at another network address, where another rule applies, and would send them back unchanged
    in an endless loop.
    """
    if outcome.verdict != "step_up":
        return {}
    step = {"level": "aal2"} if outcome.requirements.level == "aal2" else {}
    age = outcome.requirements.max_age
    return step | ({"max_age": str(int(age.total_seconds()))} if age is not None else {})


def _return_target(access: AccessRequest) -> str:
    """Return where a visitor is sent back to. If that is too long, it loses its query, then its path."""
    if access.method not in SAFE_METHODS:
        return "/"
    for target in (access.target, access.path):
        encoded = quote(target.encode("latin-1"), safe="/?:@!$&'()*+,;=%-._~[]")
        if fits_return_url(encoded):
            return encoded
    return "/"
