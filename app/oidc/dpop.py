"""Proof of possession of a key (RFC 9449)."""

from __future__ import annotations

from flask import request

from app.oidc.clients import Client
from app.oidc.errors import OAuthError


def thumbprint(client: Client) -> str | None:
    """Return the thumbprint of the key that this request proves; None without a proof.

    :raises OAuthError: ``invalid_dpop_proof``
    """
    if "DPoP" in request.headers or client.require_dpop:
        raise OAuthError("invalid_dpop_proof", "DPoP is not supported.")
    return None
