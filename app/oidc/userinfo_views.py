"""/oauth/userinfo: what an app learns about the person who signed in (OpenID Connect Core, section 5.3)."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, request

from app.oidc import access_tokens, bp, cors
from app.oidc.claims import claims_of
from app.oidc.errors import OAuthError, json_response
from app.oidc.parameters import of_form, single_values
from app.oidc.subjects import subject_for
from app.web.commit import view_commit


@bp.get("/oauth/userinfo")
def userinfo() -> Response:
    """Return the claims that a token gives. One statement."""
    return _answer(_token_of_header())


@bp.post("/oauth/userinfo")
def userinfo_by_form() -> Response:
    """The same for a token that comes in a form (RFC 6750, section 2.2)."""
    after_this_request(view_commit)
    in_body = single_values(of_form(), ("access_token",)).get("access_token")
    in_header = _token_of_header() if "Authorization" in request.headers else None
    if in_body and in_header:
        raise OAuthError("invalid_request", "The token is sent twice.", challenge=_challenge("invalid_request"))
    return _answer(in_body or in_header)


def _token_of_header() -> str | None:
    """Return the bearer token of this request."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _answer(token: str | None) -> Response:
    if token is None:
        raise OAuthError("invalid_token", "Send an access token.", status=401, challenge='Bearer realm="userinfo"')
    found = access_tokens.find_with_claims(token) if token.isascii() and len(token) <= 8192 else None
    if found is None:
        raise OAuthError(
            "invalid_token", "The token is invalid or has expired.", status=401, challenge=_challenge("invalid_token")
        )
    cors.note_client(found.client)
    if "openid" not in found.scopes:
        challenge = _challenge("insufficient_scope") + ', scope="openid"'
        raise OAuthError("insufficient_scope", "The token has no openid scope.", status=403, challenge=challenge)
    facts: dict[str, Any] = claims_of(found) | {"sub": subject_for(found.user.handle, found.client)}
    return json_response(facts)


def _challenge(error: str) -> str:
    return f'Bearer realm="userinfo", error="{error}"'
