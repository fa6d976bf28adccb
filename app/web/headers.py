"""Headers that every answer carries, errors and static files included."""

from __future__ import annotations

import secrets

from flask import Response, g, request

from app.extensions import settings

PERMISSIONS = "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=()"
_FIXED = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": PERMISSIONS,
}


def csp_nonce() -> str:
    """Return this answer's nonce for scripts."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def set_headers(response: Response) -> Response:
    """Add the security headers (ASVS 3.4.1-3.4.8, 14.3.2); what a view has set itself stays."""
    headers = response.headers
    for name, value in _FIXED.items():
        headers.setdefault(name, value)
    headers.setdefault("Referrer-Policy", "same-origin")
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
        headers["Vary"] = "Cookie, Accept, Origin, Sec-Fetch-Site"
    if "Content-Security-Policy" not in headers:
        headers["Content-Security-Policy"] = _policy(response)
    if settings.is_production and settings.hsts:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return response


def _policy(response: Response) -> str:
    if response.mimetype != "text/html":
        return "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    nonce = g.get("csp_nonce")
    script = f"'self' 'nonce-{nonce}'" if nonce else "'self'"
    return (
        f"default-src 'none'; script-src {script}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; frame-src 'self'; manifest-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )
