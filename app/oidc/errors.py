"""OAuthError: an error response to a client (RFC 6749, section 5.2)."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from flask import Flask, Response

from app.web.errors import register_error_format

CLIENT_ENDPOINTS = (
    "/oauth/token", "/oauth/userinfo", "/oauth/revoke", "/oauth/introspect", "/oauth/par", "/oauth/device",
    "/oauth/register", "/oauth/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server",
)  # fmt: skip
"""Endpoints called by clients, not people. Their errors are JSON, whatever a request accepts."""

_BY_STATUS = {
    404: ("invalid_request", "There is no such resource."),
    405: ("invalid_request", "The endpoint does not take this method."),
    413: ("invalid_request", "The request is too long."),
    429: ("temporarily_unavailable", "There were too many requests."),
    500: ("server_error", "Something went wrong here."),
    503: ("temporarily_unavailable", "Nothing was stored. Send the same request again."),
}
"""What clients get for errors that an endpoint doesn't handle itself."""


class OAuthError(Exception):
    """An expected error. Database changes made before it are committed.

    :ivar code: error code from the OAuth registry, such as ``invalid_grant``
    :ivar description: a sentence for the developer of the client, in English, without any value that was sent
    :ivar status: HTTP status of the response
    :ivar challenge: WWW-Authenticate value, if the client or its token is rejected
    """

    def __init__(
        self, code: str, description: str, *, status: int = 400, challenge: str = "", retry_after: int = 0
    ) -> None:
        super().__init__(code)
        self.code = code
        self.description = description
        self.status = status
        self.challenge = challenge
        self.retry_after = retry_after


def init_app(app: Flask) -> None:
    """Register error handlers, so that clients get OAuth errors whatever goes wrong."""
    app.register_error_handler(OAuthError, error_response)
    register_error_format(app, CLIENT_ENDPOINTS, _error_by_status)


def error_response(error: OAuthError) -> Response:
    """Return an OAuth error as JSON (an error handler)."""
    answer = json_response({"error": error.code, "error_description": error.description}, error.status)
    if error.challenge:
        answer.headers["WWW-Authenticate"] = error.challenge
    if error.retry_after:
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def _error_by_status(status: int) -> Response:
    """Return an OAuth error for an HTTP status, without the message meant for people."""
    code, description = _BY_STATUS.get(status, ("invalid_request", f"{HTTPStatus(status).phrase}."))
    return json_response({"error": code, "error_description": description}, status)


def json_response(facts: dict[str, object], status: int = 200) -> Response:
    """Return JSON that must not be cached, not even by HTTP/1.0 caches (RFC 6749, section 5.1)."""
    answer = Response(orjson.dumps(facts), status, mimetype="application/json")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Pragma"] = "no-cache"
    return answer
