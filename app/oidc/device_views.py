"""/oauth/device: a device without a browser asks to be signed in (RFC 8628)."""

from __future__ import annotations

from flask import Response, after_this_request, g

from app.extensions import settings
from app.oidc import bp, client_documents, devices, dpop
from app.oidc.authorization import scopes_of, thumbprint_of
from app.oidc.client_auth import authenticate, limit_public, named_client
from app.oidc.clients import DEVICE_CODE
from app.oidc.errors import OAuthError, json_response
from app.oidc.parameters import form_fields
from app.oidc.resources import resources_of
from app.web.client import present_client
from app.web.commit import view_commit
from app.web.redirects import with_query

VERIFICATION = "/device"
"""The page on which people type the code."""


@bp.post("/oauth/device")
def authorize_device() -> Response:
    """Give a device a code to show, and one to ask for its tokens with (sections 3.1 and 3.2)."""
    after_this_request(view_commit)
    fields = form_fields()
    client_documents.require(named_client(fields), g.client_address)
    client = authenticate(fields)
    if DEVICE_CODE not in client.grant_types:
        raise OAuthError("unauthorized_client", "The client is not registered for the device code.")
    limit_public(client)
    scopes, (resource, _) = scopes_of(fields, client), resources_of(fields, client)
    jkt = dpop.key_asked_for(thumbprint_of(fields))
    begun = devices.begin(client, scopes, resource, jkt, present_client())
    page, shown = settings.public_url + VERIFICATION, devices.grouped(begun.user_code)
    facts: dict[str, object] = {
        "device_code": begun.device_code,
        "user_code": shown,
        "verification_uri": page,
        "verification_uri_complete": with_query(page, user_code=shown),
        "expires_in": int(devices.LIFETIME.total_seconds()),
        "interval": devices.INTERVAL,
    }
    return json_response(facts)
