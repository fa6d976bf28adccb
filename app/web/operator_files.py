"""Serve a file of the operator's, whose address changes with it: logos, images and style sheets."""

from __future__ import annotations

from flask import Response

KEPT_FOR = 365 * 86400
"""Seconds: a file's address never serves another one."""

SVG = "image/svg+xml"
SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
"""For an SVG that is opened by itself: its own styles, and no script, no request, no origin of ours."""


def file_response(data: bytes, content_type: str) -> Response:
    """Return a file for browsers to keep."""
    answer = Response(data, content_type=content_type)
    answer.cache_control.public, answer.cache_control.immutable = True, True
    answer.cache_control.max_age = KEPT_FOR
    if content_type == SVG:
        answer.headers["Content-Security-Policy"] = SVG_POLICY
    return answer
