"""/oauth/register: programs register clients (RFC 7591), and manage their registrations (RFC 7592).

No cookie is read: requests are authorized by a bearer token alone, which a page on another site can't send.
"""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, g, request
from werkzeug.exceptions import BadRequest

from app import throttling
from app.errors import Rejected
from app.extensions import settings
from app.oidc import bp, registration
from app.oidc.client_auth import LIMIT
from app.oidc.client_metadata import metadata_of
from app.oidc.clients import client_of
from app.oidc.errors import OAuthError, json_response
from app.oidc.models import OAuthClient
from app.web.commit import view_commit
from app.web.json_body import json_object, sends_json

PATH = "/oauth/register"
REALM = 'Bearer realm="registration"'


@bp.post(PATH)
def register_client() -> Response:
    """Register a client, with an initial access token (RFC 7591, section 3)."""
    after_this_request(view_commit)
    token = _token()
    if not registration.may_register(token):
        raise _token_error()
    result = registration.register(token, _metadata())
    if result is None:
        raise _token_error()
    issued = {"client_id_issued_at": int(result.issued_at.timestamp())}
    return json_response(_facts(result, result.token) | issued, 201)


@bp.get(f"{PATH}/<client_id>")
def show_registered_client(client_id: str) -> Response:
    """Return a client's registration (RFC 7592, section 2.1)."""
    token = _token()
    return json_response(_facts(registration.RegistrationResult(client_of(_find_client(client_id, token))), token))


@bp.put(f"{PATH}/<client_id>")
def replace_registered_client(client_id: str) -> Response:
    """Replace a client's registration (RFC 7592, section 2.2)."""
    after_this_request(view_commit)
    token = _token()
    row = _find_client(client_id, token)
    metadata = _metadata()
    if metadata.get("client_id") != client_id:
        raise OAuthError("invalid_client_metadata", "client_id must be that of the client.")
    if "client_secret" in metadata and not registration.has_secret(row, metadata["client_secret"]):
        raise OAuthError("invalid_client_metadata", "client_secret must be that of the client, or left out.")
    return json_response(_facts(registration.replace(row, metadata), token))


@bp.delete(f"{PATH}/<client_id>")
def delete_registered_client(client_id: str) -> Response:
    """Delete a client, its tokens and users' consent to it (RFC 7592, section 2.3)."""
    after_this_request(view_commit)
    registration.remove(_find_client(client_id, _token()).id)
    return Response(status=204)


def _find_client(client_id: str, token: str) -> OAuthClient:
    """Return the row of the client that this token manages. An unknown client fails in the same way as a bad token."""
    row = registration.find_registered(client_id, token)
    if row is None:
        raise _token_error()
    return row


def _token() -> str:
    """Return the bearer token of this request.

    :raises OAuthError: ``invalid_token`` (401) without one; ``temporarily_unavailable`` (429) after too many wrong ones
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise OAuthError("invalid_token", "Send a token as Authorization: Bearer.", status=401, challenge=REALM)
    try:
        throttling.check(LIMIT, g.client_address, about=PATH)
    except Rejected as rejected:
        raise _unavailable(rejected) from None
    return token.strip()


def _token_error() -> OAuthError:
    """Return the error for an invalid token, and count the failure."""
    try:
        throttling.take(LIMIT, g.client_address, about=PATH)
    except Rejected as rejected:
        return _unavailable(rejected)
    challenge = f'{REALM}, error="invalid_token"'
    return OAuthError("invalid_token", "The token is invalid or has expired.", status=401, challenge=challenge)


def _unavailable(rejected: Rejected) -> OAuthError:
    text = "Too many invalid tokens came from this network address."
    return OAuthError("temporarily_unavailable", text, status=429, retry_after=rejected.facts["retry_after"])


def _metadata() -> dict[str, Any]:
    """Return the request body, which must be one JSON object.

    :raises OAuthError: ``invalid_client_metadata``
    """
    if not sends_json():
        raise OAuthError("invalid_client_metadata", "Send the metadata as application/json.", status=415)
    try:
        return json_object()
    except BadRequest:
        raise OAuthError("invalid_client_metadata", "The body is not one JSON object.") from None


def _facts(result: registration.RegistrationResult, token: str) -> dict[str, Any]:
    """Return the registration response (RFC 7591, section 3.2.1; RFC 7592, section 3)."""
    client = result.client
    facts: dict[str, Any] = {"client_id": client.id}
    if result.secret:
        facts |= {"client_secret": result.secret, "client_secret_expires_at": 0}
    facts |= metadata_of(client)
    return facts | {
        "registration_access_token": token,
        "registration_client_uri": f"{settings.public_url}{PATH}/{client.id}",
    }
