"""/.well-known: where browsers and password managers look for passkeys."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, abort

from app.extensions import settings
from app.setup import bp


@bp.get("/.well-known/webauthn")
def related_origins() -> Response:
    """Tell browsers which origins may use the passkeys of this domain (Web Authentication, section 5.11)."""
    return _public({"origins": list(settings.webauthn_origins)})


@bp.get("/.well-known/passkey-endpoints")
def passkey_endpoints() -> Response:
    """Tell password managers where passkeys are made and managed (W3C, A Well-Known URL for Passkey Endpoints)."""
    page = f"{settings.origin}/wan-register"
    return _public({"enroll": page, "manage": page})


def _public(told: dict[str, Any]) -> Response:
    """Answer anybody on the web, without an envelope: the form is not ours. A 404 where there are no passkeys."""
    if not settings.can_use_passkeys:
        abort(404)
    response = Response(orjson.dumps(told), mimetype="application/json")
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response
