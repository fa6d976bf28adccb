"""/oauth/par: an app tells us what it will ask for, before it sends the browser (RFC 9126)."""

from __future__ import annotations

from flask import Response, after_this_request, g

from app.oidc import bp, client_documents, dpop, pushed
from app.oidc.authorization import thumbprint_of
from app.oidc.client_auth import authenticate, limit_public, named_client
from app.oidc.errors import json_response
from app.oidc.parameters import form_fields, of_form
from app.web.commit import view_commit


@bp.post("/oauth/par")
def push() -> Response:
    """Store an authorization request, validated, for a minute (section 2)."""
    after_this_request(view_commit)
    fields = form_fields()
    client_documents.require(named_client(fields), g.client_address)
    client = authenticate(fields)
    limit_public(client)
    request_uri = pushed.push(of_form(), client, dpop.key_asked_for(thumbprint_of(fields)))
    return json_response({"request_uri": request_uri, "expires_in": int(pushed.PUSHED_FOR.total_seconds())}, 201)
