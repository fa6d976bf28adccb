"""/brand/<name>: the files of the operator's brand."""

from __future__ import annotations

from flask import Response, abort

from app.branding import bp
from app.branding.files import Branding
from app.extensions import this_app

KEPT_FOR = 365 * 86400
"""Seconds: a file's address never serves another one."""

SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
"""For an SVG that is opened by itself: its own styles, and no script, no request, no origin of ours."""


@bp.get("/brand/<name>")
def brand_file(name: str) -> Response:
    """Serve one of the files that the settings name."""
    branding: Branding = this_app().extensions["latchkey.branding"]
    file = branding.files.get(name)
    if file is None:
        abort(404)
    answer = Response(file.data, content_type=file.content_type)
    answer.cache_control.public, answer.cache_control.immutable = True, True
    answer.cache_control.max_age = KEPT_FOR
    if file.kind == "svg":
        answer.headers["Content-Security-Policy"] = SVG_POLICY
    return answer
