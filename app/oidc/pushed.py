"""Pushed authorization requests: stored for a client, and begun once by the browser that it sends here (RFC 9126)."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from werkzeug.datastructures import MultiDict

from app import clock
from app.extensions import changed
from app.oidc import requests
from app.oidc.authorization import AuthorizationError, PageRefusal, read_authorization
from app.oidc.clients import Client, is_client_id
from app.oidc.errors import OAuthError
from app.oidc.models import AuthorizationRequest

URN = "urn:ietf:params:oauth:request_uri:"
PUSHED_FOR = timedelta(seconds=60)
"""How long a pushed request can be begun (RFC 9126, section 2.2)."""


def push(given: MultiDict[str, str], client: Client, jkt: str | None) -> str:
    """Store a request of ``client``, which has proved who it is; return the ``request_uri`` that stands for it.

    :param jkt: thumbprint of the key that its code will be bound to, or None (RFC 9449, section 10.1)
    :raises OAuthError: when the authorization endpoint would refuse it
    """
    if "request_uri" in given:
        raise OAuthError("invalid_request", "request_uri can't be pushed.")
    asked = MultiDict(given)
    asked["client_id"] = client.id
    if jkt is not None:
        asked["dpop_jkt"] = jkt
    try:
        read_authorization(asked, pushed_by=client)
    except PageRefusal:
        raise OAuthError("invalid_request", "redirect_uri is not registered for this client.") from None
    except AuthorizationError as error:
        raise OAuthError(error.code, error.description) from None
    return URN + requests.store(asked, lifetime=PUSHED_FOR, pushed=True).id


def is_pushed(given: MultiDict[str, str]) -> bool:
    """Whether a request names one that was pushed."""
    return given.get("request_uri", "").startswith(URN)


def claim_pushed(given: MultiDict[str, str]) -> AuthorizationRequest | None:
    """Return the pushed request that its client names, which is begun once; None where there is none.

    From then on it waits for its person as others do. What stands beside ``request_uri`` and ``client_id`` is ignored.
    """
    uris, clients = given.getlist("request_uri"), given.getlist("client_id")
    request_id = uris[0].removeprefix(URN)
    if len(uris) != 1 or len(clients) != 1 or not requests.is_id(request_id) or not is_client_id(clients[0]):
        return None
    now, row = clock.now(), AuthorizationRequest
    its = (row.id == request_id, row.client_id == clients[0])
    waits = (row.pushed, row.begun_at.is_(None), row.expires_at > now)
    begin = sa.update(row).where(*its, *waits).values(begun_at=now, created_at=now, expires_at=now + requests.LIFETIME)
    return requests.find(request_id) if changed(begin) else None
