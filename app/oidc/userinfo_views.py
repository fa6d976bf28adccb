"""/oauth/userinfo: claims about the user who signed in (OpenID Connect Core, section 5.3)."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, request

from app.oidc import access_tokens, bp, cors, dpop
from app.oidc.claims import claims_of
from app.oidc.errors import OAuthError, json_response
from app.oidc.parameters import form_parameters, single_values
from app.oidc.subjects import subject_for
from app.web.commit import view_commit


@bp.get("/oauth/userinfo")
def userinfo() -> Response:
    """Return the claims that a token grants. One statement; two for a token that is bound to a key."""
    after_this_request(view_commit)
    return _answer(*_token_of_header())


@bp.post("/oauth/userinfo")
def userinfo_by_form() -> Response:
    """Return the same claims for a token sent in a form (RFC 6750, section 2.2)."""
    after_this_request(view_commit)
    in_body = single_values(form_parameters(), ("access_token",)).get("access_token")
    in_header, scheme = _token_of_header()
    if in_body and in_header:
        raise OAuthError(
            "invalid_request", "The token is sent twice.", challenge=_challenge("bearer", "invalid_request")
        )
    return _answer(in_header, scheme) if in_header else _answer(in_body, "bearer")


def _token_of_header() -> tuple[str | None, str]:
    """Return this request's token, and its scheme in lower case: ``bearer`` or ``dpop``."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    is_known = scheme.lower() in ("bearer", "dpop") and token.strip()
    return (token.strip(), scheme.lower()) if is_known else (None, "")


def _answer(token: str | None, scheme: str) -> Response:
    if token is None:
        challenge = f'Bearer realm="userinfo", {dpop.challenge()}'
        raise OAuthError("invalid_token", "Send an access token.", status=401, challenge=challenge)
    found = access_tokens.find_with_claims(token) if token.isascii() and len(token) <= 8192 else None
    if found is None:
        raise _invalid_token("The token is invalid or has expired.", scheme)
    cors.set_request_client(found.client)
    if found.jkt is None and scheme == "dpop":
        raise _invalid_token("The token is bound to no key.", "bearer")
    if found.jkt is not None:
        if scheme != "dpop":
            raise _invalid_token("The token is bound to a key: send it as DPoP, with a proof.", "dpop")
        dpop.check_token(token, found.jkt)
    if "openid" not in found.scopes:
        challenge = _challenge(scheme, "insufficient_scope") + ', scope="openid"'
        raise OAuthError("insufficient_scope", "The token has no openid scope.", status=403, challenge=challenge)
    facts: dict[str, Any] = claims_of(found) | {"sub": subject_for(found.handle, found.client)}
    return json_response(facts)


def _invalid_token(description: str, scheme: str) -> OAuthError:
    return OAuthError("invalid_token", description, status=401, challenge=_challenge(scheme, "invalid_token"))


def _challenge(scheme: str, error: str) -> str:
    return dpop.challenge(error) if scheme == "dpop" else f'Bearer realm="userinfo", error="{error}"'
