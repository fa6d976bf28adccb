"""CORS: which origins' scripts may read the responses of the endpoints (the Fetch standard, 3.3).

An origin is allowed if the calling client has registered it. While the client isn't known yet (a preflight, a wrong
token), it is enough that any client has, since such responses contain no one's data. Cookies are never accepted:
``Access-Control-Allow-Credentials`` is never sent, so a foreign page only gets what its own token gives access to.
"""

from __future__ import annotations

import sqlalchemy as sa
from flask import Response, g, request

from app.db.compiled import CompiledStatement
from app.extensions import settings
from app.oidc import bp
from app.oidc.clients import Client, clients_in_memory
from app.oidc.models import MAX_ORIGIN_LENGTH, OAuthClient, OAuthClientOrigin

METHODS = {
    "/oauth/token": "POST", "/oauth/revoke": "POST", "/oauth/par": "POST", "/oauth/device": "POST",
    "/oauth/userinfo": "GET, POST",
}  # fmt: skip
"""Endpoints that browser clients call, and the methods they use."""

REQUEST_HEADERS = "Authorization, Content-Type, DPoP"
EXPOSED_HEADERS = "DPoP-Nonce, Retry-After, WWW-Authenticate"
PREFLIGHT_MAX_AGE = 600
"""Seconds that browsers may cache a preflight. An origin that was removed can still send requests that long."""

_origin, _client = OAuthClientOrigin.__table__.c, OAuthClient.__table__.c
_CLIENTS_OF_ORIGIN = CompiledStatement(
    sa.select(_origin.client_id)
    .join_from(OAuthClientOrigin.__table__, OAuthClient.__table__, _client.id == _origin.client_id)
    .where(_origin.origin == sa.bindparam("origin"), _client.disabled_at.is_(None))
)


def set_request_client(client: Client) -> None:
    """Remember the client of the current request."""
    g.oauth_client = client


@bp.before_request
def answer_preflight() -> Response | None:
    """Answer a CORS preflight request."""
    if request.method != "OPTIONS" or request.path not in METHODS:
        return None
    answer = Response(status=204)
    origin = request.headers.get("Origin", "")
    if "Access-Control-Request-Method" in request.headers and _is_registered_by_any_client(origin):
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Access-Control-Allow-Methods"] = METHODS[request.path]
        answer.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_MAX_AGE)
    return answer


@bp.after_request
def allow_origin(answer: Response) -> Response:
    """Let scripts on the client's origins read the response."""
    origin = request.headers.get("Origin", "")
    if not origin or request.method == "OPTIONS":
        return answer
    if request.path in METHODS and answer.status_code < 500 and _is_allowed(origin):
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    return answer


def _is_allowed(origin: str) -> bool:
    client: Client | None = g.get("oauth_client")
    return origin in client.origins if client is not None else _is_registered_by_any_client(origin)


def _is_registered_by_any_client(origin: str) -> bool:
    """Return whether any enabled client has registered this origin. One statement, or none if the file has one."""
    if not origin or origin == settings.origin or len(origin) > MAX_ORIGIN_LENGTH or "\x00" in origin:
        return False
    in_file = clients_in_memory()
    if any(origin in client.origins for client in in_file.values()):
        return True
    return any(client_id not in in_file for (client_id,) in _CLIENTS_OF_ORIGIN.all(origin=origin))
