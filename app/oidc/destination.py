"""What the sign-in page says of a request that waits: which app it leads to."""

from __future__ import annotations

from collections.abc import Mapping

from app.oidc import requests
from app.oidc.authorization import AuthorizationError, PageRefusal, read_authorization
from app.oidc.logos import logo_path
from app.oidc.presenters import host_of
from app.web.destinations import Destination
from app.web.launcher import letter_of, tint_of


def destination_of_request(query: Mapping[str, str]) -> Destination | None:
    """Return the app whose stored request a query names, if it is valid. At most two statements.

    An app that added itself is called by its host: it could call itself like any other.
    """
    row = requests.find(query.get("request", "")[:32])
    if row is None:
        return None
    try:
        client = read_authorization(requests.parameters_of(row)).client
    except (PageRefusal, AuthorizationError):
        return None
    name = client.name if client.is_vetted else host_of(client) or client.id
    return Destination(name, logo_path(client.id), letter_of(name), tint_of(client.id))
