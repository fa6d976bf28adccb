"""Discovery: this provider's metadata, and the public keys that verify its tokens.

OpenID Connect Discovery 1.0 and RFC 8414, with the members of the IANA registry. Anyone may read and cache them,
including scripts on any page.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import lru_cache
from typing import Any

import orjson
from flask import Response, request

from app.extensions import settings
from app.oidc import bp, keys
from app.oidc.authorization import LEVELS, PROMPTS
from app.oidc.claims import SCOPE_OF
from app.oidc.client_keys import KINDS
from app.oidc.clients import ALGORITHMS, SCOPES
from app.oidc.token_views import EXCHANGES

METADATA_MAX_AGE = timedelta(hours=1)
JWKS_MAX_AGE = timedelta(minutes=15)
"""How long the keys may be cached. A new key is published a day before it signs; a dropped one is gone after this."""

ENDPOINTS = {
    "authorization_endpoint": "/oauth/authorize",
    "token_endpoint": "/oauth/token",
    "userinfo_endpoint": "/oauth/userinfo",
    "jwks_uri": "/oauth/jwks",
    "registration_endpoint": "/oauth/register",
    "revocation_endpoint": "/oauth/revoke",
    "introspection_endpoint": "/oauth/introspect",
    "pushed_authorization_request_endpoint": "/oauth/par",
    "device_authorization_endpoint": "/oauth/device",
    "end_session_endpoint": "/oauth/logout",
}
AUTH_METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
"""Client authentication methods. A public client is identified by its id alone, also to revoke its own tokens."""

CLAIMS = ("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", *SCOPE_OF)


@bp.route("/.well-known/openid-configuration", methods=["GET", "OPTIONS"])
def openid_configuration() -> Response:
    """Describe this provider (OpenID Connect Discovery, section 4)."""
    return _public(_current_metadata(), METADATA_MAX_AGE)


@bp.route("/.well-known/oauth-authorization-server", methods=["GET", "OPTIONS"])
def server_metadata() -> Response:
    """Describe this authorization server, with the same document (RFC 8414, section 3)."""
    return _public(_current_metadata(), METADATA_MAX_AGE)


@bp.route("/oauth/jwks", methods=["GET", "OPTIONS"])
def jwks() -> Response:
    """List the public keys: current, next and previous ones (RFC 7517, section 5)."""
    return _public(b"" if request.method == "OPTIONS" else orjson.dumps(keys.public_set()), JWKS_MAX_AGE)


def _public(body: bytes, max_age: timedelta) -> Response:
    """Return JSON that anyone may read, and cache for ``max_age``; for OPTIONS, only say so."""
    answer = Response(body, mimetype="application/json")
    answer.headers["Access-Control-Allow-Origin"] = "*"
    if request.method == "OPTIONS":
        answer.status_code, answer.data = 204, b""
        answer.headers["Allow"] = answer.headers["Access-Control-Allow-Methods"] = "GET, HEAD, OPTIONS"
        answer.headers["Access-Control-Allow-Headers"] = "*"
        answer.headers["Access-Control-Max-Age"] = "86400"
        return answer
    answer.headers["Cache-Control"] = f"public, max-age={max_age.total_seconds():.0f}"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    answer.headers["Vary"] = "Accept-Encoding"  # not Cookie: the response is the same for everyone
    answer.set_etag(hashlib.sha256(body).hexdigest()[:32])
    answer.make_conditional(request)
    return answer


def _current_metadata() -> bytes:
    return _metadata(settings.public_url, tuple(settings.languages), bool(settings.client_documents))


@lru_cache(maxsize=16)
def _metadata(origin: str, languages: tuple[str, ...], documents: bool) -> bytes:
    return orjson.dumps(metadata(origin, languages, documents=documents))


def metadata(origin: str, languages: tuple[str, ...], *, documents: bool = False) -> dict[str, Any]:
    """Return this provider's metadata."""
    signed = list(KINDS)
    return {
        "issuer": origin,
        **{name: origin + path for name, path in ENDPOINTS.items()},
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(EXCHANGES),
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": list(ALGORITHMS),
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": signed,
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": signed,
        "introspection_endpoint_auth_methods_supported": AUTH_METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": signed,
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": signed,
        "authorization_response_iss_parameter_supported": True,
        "require_pushed_authorization_requests": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "require_request_uri_registration": False,
        "claims_parameter_supported": True,
        "claim_types_supported": ["normal"],
        "claims_supported": list(CLAIMS),
        "acr_values_supported": list(LEVELS),
        "prompt_values_supported": sorted(PROMPTS),
        "display_values_supported": ["page"],
        "ui_locales_supported": list(languages),
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "client_id_metadata_document_supported": documents,
    }
