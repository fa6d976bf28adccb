"""Services that tokens are for (RFC 8707): which ones an app may request, and which clients serve them.

An app may request the ``resources`` that the operator has listed for it, and any service that an operator's client
serves for all apps (``serves_all``). For the latter, that client's groups and level apply in addition to the app's.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from app.extensions import db
from app.oidc.clients import Client, clients_in_memory, enabled_client_of
from app.oidc.errors import OAuthError
from app.oidc.models import OAuthClient, OAuthClientResource
from app.oidc.parameters import words

MAX_LENGTH = 1024
"""Maximum length of all resources of a grant, joined."""

_r = OAuthClientResource.__table__.c


def resources_of(fields: dict[str, str], client: Client) -> tuple[str, tuple[Client, ...]]:
    """Return a request's resource indicators, joined, and the clients that serve those open to any app.

    No statement if all of them are listed for the client, else one.

    :raises OAuthError: ``invalid_target`` (RFC 8707, section 2)
    """
    requested = words(fields, "resource")
    joined = " ".join(requested)
    if len(joined) > MAX_LENGTH:
        raise OAuthError("invalid_target", "The resources are too long together.")
    open_ones = [each for each in requested if each not in client.resources]
    serving = _serving_all(open_ones) if open_ones else {}
    if unknown := [each for each in open_ones if each not in serving]:
        raise OAuthError("invalid_target", f"{len(unknown)} of the resources are not known, or not for this client.")
    return joined, tuple({each.id: each for each in serving.values()}.values())


def resource_of(fields: dict[str, str], client: Client) -> str:
    """Return a request's resource indicators, joined, if its client may only have those listed for it.

    :raises OAuthError: ``invalid_target``
    """
    joined, served_by = resources_of(fields, client)
    if served_by:
        raise OAuthError("invalid_target", "A resource is not listed for this client.")
    return joined


def _serving_all(resources: Iterable[str]) -> dict[str, Client]:
    """Return the enabled operator's client that serves each resource for any app, by resource."""
    requested, in_file = list(resources), clients_in_memory()
    rows = sa.select(_r.resource, OAuthClient).join(OAuthClient, OAuthClient.id == _r.client_id)
    found: dict[str, Client] = {}
    for resource, row in db.session.execute(rows.where(_r.resource.in_(requested)).order_by(_r.client_id)):
        if row.id not in in_file and (client := enabled_client_of(row)) is not None and client.is_vetted:
            found.setdefault(resource, client)
    for client in in_file.values():
        found |= {each: client for each in client.serves if client.serves_all and each in requested}
    return found
