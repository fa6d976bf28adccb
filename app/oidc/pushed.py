"""Pushed authorization requests (RFC 9126): the authorization endpoint's part."""

from __future__ import annotations

import sqlalchemy as sa
from werkzeug.datastructures import MultiDict

from app import clock
from app.extensions import changed
from app.oidc import requests
from app.oidc.models import AuthorizationRequest

URN = "urn:ietf:params:oauth:request_uri:"
PUSHED_FOR = 60
"""Seconds for which a pushed request can be begun (RFC 9126, section 2.2)."""


def is_pushed(given: MultiDict[str, str]) -> bool:
    """Whether a request names one that was pushed."""
    return given.get("request_uri", "").startswith(URN)


def claim_pushed(given: MultiDict[str, str]) -> AuthorizationRequest | None:
    """Return the pushed request that its client names, which is begun once; None where there is none.

    From then on it waits for its person as others do.
    """
    row = requests.find(given["request_uri"].removeprefix(URN))
    if row is None or not row.pushed or row.client_id != given.get("client_id"):
        return None
    unclaimed = (AuthorizationRequest.id == row.id, AuthorizationRequest.expires_at == row.expires_at)
    until = clock.now() + requests.LIFETIME
    begun = changed(sa.update(AuthorizationRequest).where(*unclaimed).values(expires_at=until, created_at=clock.now()))
    return row if begun else None
