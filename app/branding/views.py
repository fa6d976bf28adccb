"""/brand/<name>: the operator's branding files."""

from __future__ import annotations

from flask import Response, abort

from app.branding import bp
from app.branding.files import Branding
from app.extensions import this_app
from app.web.respond import file_response


@bp.get("/brand/<name>")
def brand_file(name: str) -> Response:
    """Serve one of the configured files."""
    branding: Branding = this_app().extensions["latchkey.branding"]
    file = branding.files.get(name)
    if file is None:
        abort(404)
    return file_response(file.data, file.content_type)
