"""Serve the operator's files (logos, images and style sheets) from URLs that change with their content."""

from __future__ import annotations

from flask import Response

KEPT_FOR = 365 * 86400
"""Seconds that browsers may cache a file. A URL never serves different content."""

SVG = "image/svg+xml"
SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
"""Policy for an SVG opened directly: its own styles, but no scripts, no requests, and not our origin."""


def file_response(data: bytes, content_type: str) -> Response:
    """Return a file that browsers may cache."""
    answer = Response(data, content_type=content_type)
    answer.cache_control.public, answer.cache_control.immutable = True, True
    answer.cache_control.max_age = KEPT_FOR
    if content_type == SVG:
        answer.headers["Content-Security-Policy"] = SVG_POLICY
    return answer
