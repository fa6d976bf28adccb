"""ID tokens: who signed in, when and how (OpenID Connect Core, section 2)."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from app import clock
from app.crypto.secrets import base64url
from app.extensions import settings
from app.oidc import access_tokens, keys
from app.oidc.access_tokens import IssuedToken
from app.oidc.claims import amr_of, claims_of
from app.oidc.clients import Client
from app.oidc.models import Grant
from app.oidc.subjects import sid_for, subject_for

LIFETIME = timedelta(minutes=10)
"""Long enough to allow for clock skew. A client reads an ID token once."""

_HASHES = {"RS256": hashlib.sha256, "ES256": hashlib.sha256, "EdDSA": hashlib.sha512}


def id_token(grant: Grant, handle: str, client: Client, access: IssuedToken, *, refreshed: bool = False) -> str:
    """Return a signed ID token for the user of a grant.

    No statement, or one if the request named claims to include.

    :param refreshed: whether it is issued for a refresh token, and so has no nonce (Core, section 12.2)
    """
    now = int(clock.unix())
    claims: dict[str, Any] = {
        "iss": settings.public_url,
        "sub": subject_for(handle, client),
        "aud": client.id,
        "exp": now + int(LIFETIME.total_seconds()),
        "iat": now,
        "auth_time": int(grant.authenticated_at.timestamp()),
        "acr": f"aal{grant.level}",
        "amr": amr_of(grant.amr, grant.level),
        "sid": sid_for(grant.session_id, client.id),
        "at_hash": _left_half(access.token, client.id_token_alg),
    }
    if grant.nonce is not None and not refreshed:
        claims["nonce"] = grant.nonce
    if grant.claims.get("id_token") and (presented := access_tokens.find_with_claims(access.token)):
        claims = claims_of(presented, "id_token") | claims
    return keys.sign(claims, client.id_token_alg)


def _left_half(token: str, alg: str) -> str:
    """Return the left half of a token's hash (Core, section 3.1.3.6)."""
    digest = _HASHES[alg](token.encode("ascii")).digest()
    return base64url(digest[: len(digest) // 2])
